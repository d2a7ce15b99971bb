"""What a person does first with a packed file: ask once, look inside, check it, chat in the terminal."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import program

if TYPE_CHECKING:
    from pathlib import Path


def test_it_answers_a_prompt_once_on_stdout(launch: program.Launcher, tmp_path: Path) -> None:
    done = launch.run("-p", "Hello", "--max-tokens", "8", "--temperature", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_gives_the_same_answer(launch: program.Launcher) -> None:
    arguments = ("-p", "Tell me more", "--max-tokens", "12", "--temperature", "1", "--seed", "5")
    assert launch.run(*arguments).stdout == launch.run(*arguments).stdout


def test_the_prompt_can_come_from_standard_input(launch: program.Launcher) -> None:
    done = launch.run("-p", "-", "--max-tokens", "4", "--temperature", "0", input="Hello")
    assert done.stdout == launch.run("-p", "Hello", "--max-tokens", "4", "--temperature", "0").stdout


def test_info_describes_the_bundle(launch: program.Launcher) -> None:
    words = launch.run("--info").stdout
    for expected in ("Tiny", "llama", "Q8_0", "2,048", "linux-x86_64"):
        assert expected in words
    described = json.loads(launch.run("--info", "--json").stdout)
    assert described["model"]["architecture"] == "llama"
    assert described["title"] == "Tiny"


def test_verify_says_that_all_is_well(launch: program.Launcher) -> None:
    done = launch.run("--verify")
    assert done.returncode == 0, done.stderr


def test_verify_names_the_entry_with_a_flipped_byte(launch: program.Launcher, tmp_path: Path) -> None:
    entries = json.loads(program.packer("inspect", launch.path, "--json").stdout)["entries"]
    model = next(entry for entry in entries if entry["name"].startswith("model/"))
    damaged = tmp_path / "damaged"
    content = bytearray(launch.path.read_bytes())
    content[model["data_offset_bytes"] + model["size_bytes"] // 2] ^= 1
    damaged.write_bytes(content)
    damaged.chmod(0o755)
    done = program.Launcher(damaged, launch.cache).run("--verify")
    assert done.returncode == 5
    assert model["name"] in done.stderr
    assert "Traceback" not in done.stderr
    outside = program.packer("verify", damaged)
    assert outside.returncode == 5
    assert model["name"] in outside.stderr


def test_a_file_that_was_cut_short_says_so(launch: program.Launcher, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(launch.path.read_bytes()[:-1000])
    cut.chmod(0o755)
    for done in (program.Launcher(cut, launch.cache).run(), program.packer("verify", cut)):
        assert done.returncode == 5, done.stderr
        assert "cut short" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_terminal_chat_answers_and_ends_with_its_input(launch: program.Launcher) -> None:
    done = launch.run("--cli", "--max-tokens", "6", "--temperature", "0", input="Hello\nAnd again\n")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) >= 4


def test_help_and_version(launch: program.Launcher) -> None:
    text = launch.run("--help").stdout
    assert "--no-browser" in text
    assert launch.path.name in text
    assert "0.1.0" in launch.run("--version").stdout


def test_wrong_usage_is_exit_code_2(launch: program.Launcher) -> None:
    done = launch.run("--no-such-option")
    assert done.returncode == 2
    assert "no-such-option" in done.stderr


def test_inspect_extract_and_standard_tools_agree(launch: program.Launcher, tiny_model: Path, tmp_path: Path) -> None:
    described = json.loads(program.packer("inspect", launch.path, "--json").stdout)
    assert described["model"]["quantization"] == "Q8_0"
    names = [entry["name"] for entry in described["entries"]]
    assert "manifest.json" in names
    assert any(name.startswith("licenses/") for name in names)
    assert program.packer("extract", launch.path, "model/*", "config.toml", "-d", tmp_path).returncode == 0
    model = next(name for name in names if name.startswith("model/"))
    assert (tmp_path / model).read_bytes() == tiny_model.read_bytes()
    assert 'title = "Tiny"' in (tmp_path / "config.toml").read_text()


def test_a_bundle_can_run_another_model(launch: program.Launcher, tiny_model: Path) -> None:
    done = launch.run("--model", tiny_model, "-p", "Hello", "--max-tokens", "4", "--temperature", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_packer_run_starts_a_bare_model_and_a_packed_file(launch: program.Launcher, tiny_model: Path) -> None:
    arguments = ("--", "-p", "Hello", "--max-tokens", "4", "--temperature", "0")
    bare = program.packer("run", tiny_model, *arguments)
    packed = program.packer("run", launch.path, *arguments)
    assert bare.returncode == packed.returncode == 0, bare.stderr + packed.stderr
    assert bare.stdout == packed.stdout


def test_a_second_start_opens_the_running_chat(packed: Path, runtime_cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "a chat of its own"
    path.write_bytes(packed.read_bytes())
    path.chmod(0o755)
    twice = program.Launcher(path, runtime_cache)
    with twice.serving() as server:
        done = twice.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Already running at {server.address}" in done.stdout


@pytest.mark.parametrize("option", ["--no-history", "--no-context-shift", "--no-browser"])
def test_a_second_start_with_an_option_gets_a_server_of_its_own(
    packed: Path, runtime_cache: Path, tmp_path: Path, option: str
) -> None:
    """Above all where chats are not to be kept: the one that runs may keep them."""
    path = tmp_path / "a chat of its own"
    path.write_bytes(packed.read_bytes())
    path.chmod(0o755)
    twice = program.Launcher(path, runtime_cache)
    with twice.serving() as first:
        second = subprocess.Popen(
            [path, option],
            env=twice.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            address, lines = program.read_address(second)
        finally:
            second.kill()
            second.communicate()
    assert address != first.address
    assert not any("Already running" in line for line in lines)


@pytest.mark.parametrize("question", ["", " \n"])
def test_without_a_question_nothing_is_answered(launch: program.Launcher, question: str) -> None:
    done = launch.run("-p", question)
    assert (done.returncode, done.stdout) == (3, "")
    assert "error: -p: there is no question behind -p; give one" in done.stderr
    done = launch.run("-p", "-", input=question)
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no question on standard input" in done.stderr


@pytest.mark.parametrize("arguments", [("-p", "Hello", "--max-tokens", "3"), ("--info",), ("--help",), ("--version",)])
def test_a_full_disk_behind_standard_output_is_one_sentence(
    launch: program.Launcher, arguments: tuple[str, ...]
) -> None:
    done = redirected(launch, f"{shlex.join(arguments)} > /dev/full")
    assert (done.returncode, done.stderr) == (4, "error: the output can't be written (No space left on device)\n")


def redirected(launch: program.Launcher, arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the file as a shell does, with ``arguments`` that redirect its output."""
    return subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {shlex.quote(str(launch.path))} {arguments}"],
        env=launch.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("--nosuch", 2), ("--model /nosuch -p Hello", 3), ("--licenses | true", 141), ("-p Hello | true", 141)],
)
def test_exit_codes_do_not_depend_on_who_reads(launch: program.Launcher, arguments: str, code: int) -> None:
    command, pipe, reader = arguments.partition("|")
    done = redirected(launch, f"{command} 2> /dev/full {pipe} {reader}")
    assert (done.returncode, done.stdout) == (code, "")


def test_a_full_disk_behind_standard_error_costs_no_answer(launch: program.Launcher) -> None:
    arguments = ("-p", "Hello", "--max-tokens", "8", "--temperature", "0")
    done = redirected(launch, f"{shlex.join([*arguments, '--timings'])} 2> /dev/full")
    assert (done.returncode, done.stdout) == (0, launch.run(*arguments).stdout)


def test_blanks_are_continued_where_the_text_itself_is_asked_for(launch: program.Launcher) -> None:
    done = launch.run("-p", "  ", "--raw", "--max-tokens", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert launch.run("-p", "", "--raw").returncode == 3


def test_more_threads_than_processors_are_not_started(launch: program.Launcher) -> None:
    usable = len(os.sched_getaffinity(0))
    with launch.serving("--threads", "1000") as server:
        threads = server.json("/api/info")["threads"]
    assert threads["count"] == usable
    assert threads["why"] == f"{usable} CPU{'s' if usable > 1 else ''} usable; 1000 were asked for"
