"""One file for Windows and Linux: every shell starts it, standard tools read it, signing leaves it whole."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pefile
import pytest

from packer.container import pe_signature
from packer.programs import LINUX, WINDOWS
from tests.support import program
from tests.support.wine import WineLauncher

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.wine import Wine

ANSWER = ("-p", "Hello", "--max-tokens", "8", "--temperature", "0")
SHELLS = ("dash", "bash", "busybox sh", "zsh", "sh")
AUTHENTICODE_BYTES = 9_544


def environment(cache: Path, **variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PACKER_CACHE_DIR": str(cache), **variables}


def run(command: list[str], cache: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=environment(cache), capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_starts_it_by_any_path(shell: str, portable: Path, runtime_cache: Path) -> None:
    place, inside = portable.parent.parent, f"{portable.parent.name}/{portable.name}"
    for path, cwd in ((str(portable), place), (inside, place), (portable.name, portable.parent)):
        done = run([*shell.split(), path, "--version"], runtime_cache, cwd)
        assert (done.returncode, "0.1.0" in done.stdout, done.stderr) == (0, True, "")


@pytest.mark.parametrize("shell", ["dash -c", "bash -c", "busybox sh -c", "zsh -c", "fish -c"])
def test_it_is_a_command_in_every_shell(shell: str, portable: Path, runtime_cache: Path, tmp_path: Path) -> None:
    for command in (shlex.quote(str(portable)), f"./{shlex.quote(portable.name)}"):
        done = run([*shell.split(), f"{command} --version"], runtime_cache, portable.parent)
        assert (done.returncode, "0.1.0" in done.stdout, done.stderr) == (0, True, "")


def test_other_programs_start_it(portable: Path, runtime_cache: Path) -> None:
    """``env``, ``xargs``, and Python through a shell, from the PATH as well."""
    done = run(["env", str(portable), "--version"], runtime_cache, portable.parent)
    assert done.returncode == 0, done.stderr
    done = run(["sh", "-c", "echo --version | xargs ./chat.exe"], runtime_cache, portable.parent)
    assert done.returncode == 0, done.stderr
    variables = environment(runtime_cache, PATH=f"{portable.parent}:{os.environ['PATH']}")
    shown = subprocess.run("chat.exe --version", shell=True, env=variables, capture_output=True, text=True, check=False)
    assert (shown.returncode, "0.1.0" in shown.stdout) == (0, True), shown.stderr


def test_it_hands_on_arguments_input_and_exit_code(portable: Path, runtime_cache: Path) -> None:
    done = subprocess.run(
        ["sh", str(portable), "-p", "-", *ANSWER[2:]],
        env=environment(runtime_cache),
        input="Hello",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (
        0,
        run(["sh", str(portable), *ANSWER], runtime_cache, portable.parent).stdout,
    )
    wrong = run(["sh", str(portable), "--title=a 'b' \"c\" $d", ""], runtime_cache, portable.parent)
    assert wrong.returncode == 2
    assert "--title" in wrong.stderr


def test_it_answers_alike_on_both_systems(
    portable: Path, runtime_cache: Path, windows_cache: Path, windows: Wine, launch: program.Launcher
) -> None:
    here = run(["sh", str(portable), *ANSWER], runtime_cache, portable.parent)
    there = WineLauncher(portable, windows_cache, wine=windows).ask(*ANSWER)
    assert here.returncode == there.returncode == 0, here.stderr + there.stderr
    assert here.stdout.split() == there.stdout.split() == launch.run(*ANSWER).stdout.split()


def test_a_copied_launcher_of_another_user_is_not_trusted(portable: Path, as_root: None, tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(other)}
    assert subprocess.run(["sh", portable, "--version"], env=clean, check=False, capture_output=True).returncode == 0
    (copied,) = (other / "packer-runtimes").glob("launcher-*")
    copied.write_text("#!/bin/sh\necho taken over\n")
    os.chown(copied, 12345, 12345)
    done = subprocess.run(["sh", portable, "--version"], env=clean, check=False, capture_output=True, text=True)
    assert (done.returncode, "taken over" in done.stdout) == (0, False), done.stderr


def test_no_place_for_the_launcher_is_said(portable: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    done = run(["sh", str(portable), "--version"], blocked, portable.parent)
    assert done.returncode == 7
    assert "PACKER_CACHE_DIR" in done.stderr


def test_standard_tools_read_it(portable: Path) -> None:
    for command in (["unzip", "-l"], ["7z", "l"], [sys.executable, "-m", "zipfile", "-l"]):
        done = subprocess.run([*command, portable], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "model/tiny.gguf" in done.stdout
    described = json.loads(program.packer("inspect", portable, "--json").stdout)
    assert sorted(described["targets"]) == [LINUX, WINDOWS]
    shown = program.packer("inspect", portable).stdout
    assert LINUX in shown
    assert WINDOWS in shown
    assert program.packer("verify", portable).returncode == 0


def test_its_headers_are_sound(portable: Path) -> None:
    with pefile.PE(str(portable)) as image:
        assert image.get_warnings() == []
        assert image.OPTIONAL_HEADER.SizeOfHeaders == 4096
        end = image.sections[-1].get_file_offset() + image.sections[-1].sizeof()
        assert end <= 4096
        for section in image.sections:
            assert section.PointerToRawData >= 4096
        assert {entry.dll.lower() for entry in image.DIRECTORY_ENTRY_IMPORT} >= {b"kernel32.dll"}


def signed(path: Path, destination: Path) -> Path:
    """A copy with a blob appended and the headers changed as ``signtool`` does it."""
    content = bytearray(path.read_bytes())
    content += bytes(-len(content) % 8)
    blob = struct.pack("<IHH", AUTHENTICODE_BYTES, 0x0200, 0x0002).ljust(AUTHENTICODE_BYTES, b"\x30")
    header = struct.unpack_from("<I", content, 0x3C)[0]
    struct.pack_into("<2I", content, header + pe_signature.SECURITY_DIRECTORY, len(content), len(blob))
    struct.pack_into("<I", content, header + pe_signature.CHECKSUM, 0x00C0FFEE)
    destination.write_bytes(content + blob)
    return destination


@pytest.mark.parametrize("extra", range(2))
def test_signing_leaves_it_whole(
    extra: int,
    portable: Path,
    packed_exe: Path,
    runtime_cache: Path,
    windows_cache: Path,
    windows: Wine,
    tmp_path: Path,
) -> None:
    path = signed((portable, packed_exe)[extra], tmp_path / "signed.exe")
    verified = program.packer("verify", path)
    assert verified.returncode == 0, verified.stderr
    there = WineLauncher(path, windows_cache, wine=windows).ask("--verify")
    assert there.returncode == 0, there.stderr
    if extra == 0:
        here = run(["sh", str(path), "--verify"], runtime_cache, tmp_path)
        assert here.returncode == 0, here.stderr


def test_a_signature_hides_no_other_change(portable: Path, tmp_path: Path) -> None:
    path = signed(portable, tmp_path / "signed.exe")
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    done = program.packer("verify", path)
    assert done.returncode == 5
    assert "launcher" in done.stderr


def test_bytes_after_the_archive_are_refused(portable: Path, tmp_path: Path) -> None:
    path = tmp_path / "longer.exe"
    path.write_bytes(portable.read_bytes() + bytes(64))
    assert program.packer("verify", path).returncode == 5


def test_it_becomes_a_native_file(portable: Path, runtime_cache: Path, tmp_path: Path) -> None:
    """By ``packer`` for either system, and by itself for this one: the same bytes."""
    native = tmp_path / "chat"
    done = program.packer("assimilate", portable, "-o", native)
    assert done.returncode == 0, done.stderr
    assert native.read_bytes()[:4] == b"\x7fELF"
    assert native.stat().st_size < portable.stat().st_size
    started = program.Launcher(native, runtime_cache)
    assert started.run("--verify").returncode == 0
    itself = tmp_path / "itself"
    done = run(["sh", str(portable), "--assimilate", str(itself)], runtime_cache, tmp_path)
    assert done.returncode == 0, done.stderr
    assert itself.read_bytes() == native.read_bytes()
    again = program.packer("assimilate", native, "-o", tmp_path / "again")
    assert again.returncode == 3
    assert "already" in again.stderr


def test_it_becomes_a_native_file_on_windows(
    portable: Path, windows_cache: Path, windows: Wine, tmp_path: Path
) -> None:
    place = tmp_path / "portable"
    place.mkdir()
    path = place / "chat.exe"
    shutil.copyfile(portable, path)
    launcher = WineLauncher(path, windows_cache, wine=windows)
    done = launcher.ask("--assimilate", "plain.exe", cwd=place)
    assert done.returncode == 0, done.stderr
    expected = tmp_path / "expected.exe"
    assert program.packer("assimilate", portable, "--target", WINDOWS, "-o", expected).returncode == 0
    assert (place / "plain.exe").read_bytes() == expected.read_bytes()
    assert WineLauncher(expected, windows_cache, wine=windows).ask("--verify").returncode == 0


def test_an_exe_is_portable_when_both_runtimes_are_there(
    windows_runtime: None, tiny_model: Path, tmp_path: Path
) -> None:
    done = program.packer("build", tiny_model, "-o", tmp_path / "chat.exe", "--json")
    assert json.loads(done.stdout)["targets"] == [LINUX, WINDOWS]


def test_an_exe_without_the_windows_runtime_says_how_to_get_it(tiny_model: Path, tmp_path: Path) -> None:
    store = {"PACKER_RUNTIMES_DIR": str(tmp_path / "store"), "PACKER_BUILD_CACHE_DIR": str(tmp_path / "nothing")}
    assert program.packer("runtimes", "build", "-o", tmp_path / "linux.runtime").returncode == 0
    assert program.packer("runtimes", "add", tmp_path / "linux.runtime", **store).returncode == 0
    done = program.packer("build", tiny_model, "-o", tmp_path / "chat.exe", **store)
    assert done.returncode == 0, done.stderr
    assert f"packer runtimes build {WINDOWS}" in done.stderr
    assert (tmp_path / "chat.exe").read_bytes()[:4] == b"\x7fELF"


def test_a_windows_runtime_travels_as_one_file(
    windows_runtime: None, packed_exe: Path, tiny_model: Path, tmp_path: Path
) -> None:
    store = {"PACKER_RUNTIMES_DIR": str(tmp_path / "store"), "PACKER_BUILD_CACHE_DIR": str(tmp_path / "nothing")}
    assert program.packer("runtimes", "build", WINDOWS, "-o", tmp_path / "w.runtime").returncode == 0
    assert program.packer("runtimes", "add", tmp_path / "w.runtime", **store).returncode == 0
    path = tmp_path / "chat.exe"
    done = program.packer("build", tiny_model, "-o", path, "--title", "Tiny", "--target", WINDOWS, **store)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == packed_exe.read_bytes()


def test_an_unknown_target_is_named(tiny_model: Path, tmp_path: Path) -> None:
    done = program.packer("build", tiny_model, "-o", tmp_path / "chat", "--target", "beos-ppc")
    assert done.returncode == 3
    assert "beos-ppc" in done.stderr
    assert WINDOWS in done.stderr
