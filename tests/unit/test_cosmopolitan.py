"""``--launcher cosmopolitan`` with a stand-in for the compiler that understands cosmocc's documented command line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from packer.errors import BuildError, InputError
from packer.programs import LINUX, WINDOWS
from packer.toolchain import cosmopolitan
from tests.support import program

if TYPE_CHECKING:
    from pathlib import Path

STAND_IN = """#!/bin/sh
# cosmocc [-c] [OPTIONS] -o OUTPUT FILES: writes what its name promises and notes how it was called.
printf '%s\\n' "$*" >>"{log}"
compile= output=
while [ $# -gt 0 ]; do
    case $1 in
    -c) compile=1 ;;
    -o) output=$2; shift ;;
    *.c | *.o) [ -f "$1" ] || {{ echo "cosmocc: $1: no such file" >&2; exit 1; }} ;;
    esac
    shift
done
[ -n "$output" ] || {{ echo "cosmocc: no output file" >&2; exit 1; }}
if [ -n "$compile" ]; then echo object >"$output"; exit; fi
printf '{magic}' >"$output"
head -c 8192 /dev/zero >>"$output"
"""


@pytest.fixture
def zstd(tmp_path: Path) -> Path:
    directory = tmp_path / "zstd-source"
    directory.mkdir()
    (directory / "zstd.c").write_text("int zstd;\n")
    (directory / "zstd.h").write_text("")
    return directory


def stand_in(directory: Path, magic: str = "MZqFpD=") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "cosmocc"
    path.write_text(STAND_IN.format(log=directory / "log", magic=magic))
    path.chmod(0o755)
    return path


def test_it_compiles_the_launcher_and_zstd(zstd: Path, tmp_path: Path) -> None:
    compiler = stand_in(tmp_path / "bin")
    content = cosmopolitan.build_cosmopolitan(compiler, zstd)
    assert content.startswith(b"MZqFpD=")
    first, second = (tmp_path / "bin" / "log").read_text().splitlines()
    assert "-c zstd/zstd.c -o zstd.o" in first
    assert "launcher/main.c" in second
    assert "launcher/platform_linux.c" in second
    assert "_windows.c" not in second
    assert "zstd.o -o launcher.com" in second


def test_output_that_is_no_portable_program_is_refused(zstd: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="expected an Actually Portable Executable"):
        cosmopolitan.build_cosmopolitan(stand_in(tmp_path / "bin", magic="nothing"), zstd)


def test_it_is_found_by_variable_and_on_the_path(tmp_path: Path) -> None:
    compiler = stand_in(tmp_path / "cosmo" / "bin")
    for named in (compiler, compiler.parent, compiler.parent.parent):
        assert cosmopolitan.find_cosmocc({"COSMOCC": str(named)}) == compiler
    assert cosmopolitan.find_cosmocc({"PATH": f"/nowhere{os.pathsep}{compiler.parent}"}) == compiler


@pytest.mark.parametrize("variables", [{}, {"PATH": "/nowhere"}, {"COSMOCC": "/nowhere"}])
def test_its_absence_is_said(variables: dict[str, str]) -> None:
    with pytest.raises(InputError, match="cosmocc"):
        cosmopolitan.find_cosmocc({"PATH": "", **variables})


def test_a_packed_file_has_it_in_front(tiny_model: Path, tmp_path: Path) -> None:
    compiler = stand_in(tmp_path / "bin")
    path = tmp_path / "chat"
    arguments = ("build", tiny_model, "-o", path, "--launcher", "cosmopolitan", "--target")
    done = program.packer(*arguments, LINUX, COSMOCC=str(compiler))
    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(b"MZqFpD=")
    assert program.packer("verify", path).returncode == 0
    both = program.packer(*arguments, WINDOWS, COSMOCC=str(compiler))
    assert both.returncode == 3
    absent = program.packer(*arguments, LINUX, COSMOCC=str(tmp_path / "nowhere"))
    assert absent.returncode == 3
    assert "cosmocc" in absent.stderr
