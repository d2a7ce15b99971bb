"""``chat.exe``, packed on Linux, under Wine: it serves, answers, verifies, and gives the tokens that Linux gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pefile
import pytest

from packer.programs import WINDOWS
from tests.support import program
from tests.support.wine import Wine, WineLauncher, press_ctrl_c, windows_path

if TYPE_CHECKING:
    from pathlib import Path

ASKED = ("--max-tokens", "24", "--temperature", "0")
RUNTIME_LIMIT_BYTES = 35_000_000
CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "temperature": 0}


def test_it_serves_streams_and_ends_with_ctrl_c(exe: WineLauncher) -> None:
    with exe.serving(prefix=["wine"], start_new_session=True) as server:
        words = " ".join(server.lines)
        for expected in ("Device", "CPU variant", "Threads", "Context", "Address"):
            assert expected in words
        whole = server.json("/v1/chat/completions", CHAT)["choices"][0]["message"]["content"]
        status, content = server.request("/v1/chat/completions", CHAT | {"stream": True})
        assert status == 200
        events = [line.removeprefix("data: ") for line in content.decode().splitlines() if line.startswith("data: {")]
        deltas = [choice["delta"].get("content") or "" for event in events for choice in json.loads(event)["choices"]]
        assert "".join(deltas) == whole
        assert b"<html" in server.request("/")[1]
        press_ctrl_c(server.process)
        assert server.process.wait(timeout=30) == 0


def test_greedy_tokens_are_those_of_linux(exe: WineLauncher, launch: program.Launcher) -> None:
    for prompt in ("Hello", "Once upon a time there was a"):
        arguments = ("-p", prompt, "--raw", "--token-ids", *ASKED)
        done = exe.ask(*arguments)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == json.loads(launch.run(*arguments).stdout)


def test_it_answers_once_and_reads_standard_input(exe: WineLauncher) -> None:
    done = exe.ask("-p", "-", *ASKED, input="Hello")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_info_verify_and_version(exe: WineLauncher) -> None:
    described = json.loads(exe.ask("--info", "--json").stdout)
    assert described["title"] == "Tiny"
    assert list(described["targets"]) == [WINDOWS]
    verified = exe.ask("--verify")
    assert (verified.returncode, "intact" in verified.stdout) == (0, True), verified.stderr
    assert "0.1.0" in exe.ask("--version").stdout


@pytest.mark.parametrize(("arguments", "code"), [(("--no-such-option",), 2), (("--model", "Z:\\none.gguf"), 3)])
def test_exit_codes_are_passed_through(exe: WineLauncher, arguments: tuple[str, ...], code: int) -> None:
    done = exe.ask(*arguments, "-p", "x")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_file_is_refused(exe: WineLauncher, tmp_path: Path) -> None:
    content = bytearray(exe.path.read_bytes())
    cut = tmp_path / "cut.exe"
    cut.write_bytes(content[:-1000])
    done = WineLauncher(cut, exe.cache, wine=exe.wine).ask()
    assert done.returncode == 5
    assert "cut short" in done.stderr
    entries = json.loads(program.packer("inspect", exe.path, "--json").stdout)["entries"]
    model = next(entry for entry in entries if entry["name"].startswith("model/"))
    content[model["data_offset_bytes"] + 1000] ^= 1
    changed = tmp_path / "changed.exe"
    changed.write_bytes(content)
    done = WineLauncher(changed, exe.cache, wine=exe.wine).ask("--verify")
    assert done.returncode == 5
    assert model["name"] in done.stderr


def test_a_long_path_with_letters_of_every_kind(exe: WineLauncher, tmp_path: Path) -> None:
    place = tmp_path / "Grüße 你好 ünïcödé"
    while len(str(place)) < 300:
        place /= "ein ziemlich langer Name für einen Ordner"
    place.mkdir(parents=True)
    path = place / "мой чат.exe"
    path.write_bytes(exe.path.read_bytes())
    done = WineLauncher(path, exe.cache, wine=exe.wine).ask("-p", "Hello", *ASKED)
    assert (done.returncode, done.stdout) == (0, exe.ask("-p", "Hello", *ASKED).stdout), done.stderr


def test_the_program_has_an_icon_and_says_what_it_is(packed_exe: Path) -> None:
    with pefile.PE(str(packed_exe)) as image:
        kinds = {entry.id for entry in image.DIRECTORY_ENTRY_RESOURCE.entries}
        values = {key: value for table in image.FileInfo[0][0].StringTable for key, value in table.entries.items()}
        assert image.get_warnings() == []
        assert image.OPTIONAL_HEADER.Subsystem == 3
    assert kinds == {3, 14, 16, 24}
    assert values[b"FileDescription"] == b"Chat with a language model"
    assert values[b"ProductVersion"] == b"0.1.0"


def test_the_runtime_is_small(packed_exe: Path) -> None:
    listed = json.loads(program.packer("runtimes", "list", "--json").stdout)
    sizes = [runtime["size_bytes"] for runtime in listed if runtime["target"] == WINDOWS and "backend" not in runtime]
    assert max(sizes) <= RUNTIME_LIMIT_BYTES


def test_windowed_logs_to_a_file(
    windows_runtime: None, tiny_model: Path, windows: Wine, windows_cache: Path, tmp_path: Path
) -> None:
    path = tmp_path / "silent.exe"
    done = program.packer("build", tiny_model, "-o", path, "--target", WINDOWS, "--windowed")
    assert done.returncode == 0, done.stderr
    with pefile.PE(str(path), fast_load=True) as image:
        assert image.OPTIONAL_HEADER.Subsystem == 2
    launcher = WineLauncher(path, windows_cache, wine=windows)
    done = launcher.ask("-p", "Hello", *ASKED)
    assert (done.returncode, done.stdout) == (0, "")
    log = (windows_cache / "logs" / "silent.log").read_text(encoding="utf-8")
    assert log.strip()


def test_windowed_is_about_windows(tiny_model: Path, tmp_path: Path) -> None:
    done = program.packer("build", tiny_model, "-o", tmp_path / "chat", "--windowed")
    assert done.returncode == 3
    assert "--windowed" in done.stderr


def test_a_second_start_opens_the_running_chat(exe: WineLauncher) -> None:
    with exe.serving(prefix=["wine"]) as server:
        done = exe.ask()
        assert done.returncode == 0, done.stderr
        assert f"Already running at {server.address}" in done.stdout


def test_another_model_can_be_named(exe: WineLauncher, tiny_model: Path) -> None:
    done = exe.ask("--model", windows_path(tiny_model), "-p", "Hello", *ASKED)
    assert (done.returncode, done.stdout) == (0, exe.ask("-p", "Hello", *ASKED).stdout), done.stderr
