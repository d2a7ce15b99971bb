"""Builds the launcher with Cosmopolitan's ``cosmocc`` where that is installed; it is in no package registry.

``cosmocc`` takes the options of gcc and writes an Actually Portable Executable: one program that Linux, Windows and
macOS run. The launcher's Linux sources are what it compiles; its C library gives them their POSIX calls everywhere.
The result is looked for in ``$COSMOCC`` (the compiler itself, or the directory it was unpacked to) and on the PATH.

Source: https://github.com/jart/cosmopolitan, "tool/cosmocc/README.md".
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from packer.errors import BuildError, InputError
from packer.toolchain import process
from packer.toolchain.launcher import SOURCE, ZSTD_DEFINITIONS, launcher_sources

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "COSMOCC"
NAME = "cosmocc"
FLAGS = ["-O2", "-g0", "-ffunction-sections", "-fdata-sections", "-mtiny"]
MAGICS = (b"MZqFpD", b"jartsr")
MIN_BYTES = 4096


def find_cosmocc(environment: Mapping[str, str] | None = None) -> Path:
    """Return the compiler. Raises InputError, saying where it was looked for, when there is none."""
    variables = os.environ if environment is None else environment
    named = variables.get(VARIABLE)
    if named:
        for path in (Path(named), Path(named) / NAME, Path(named) / "bin" / NAME):
            if path.is_file() and os.access(path, os.X_OK):
                return path.absolute()
        raise InputError(f"{VARIABLE}={named}: there is no {NAME} that can be run; name the program or its directory")
    found = shutil.which(NAME, path=variables.get("PATH"))
    if found is None:
        raise InputError(
            f"--launcher cosmopolitan needs {NAME}, which is not on the PATH; set {VARIABLE} to where it is, "
            "or leave the option away for packer's own launcher"
        )
    return Path(found).absolute()


def build_cosmopolitan(cosmocc: Path, zstd: Path) -> bytes:
    """Compile the launcher and zstd's amalgamated source in ``zstd``; return the program. Raises BuildError."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        shutil.copytree(SOURCE, scratch / "launcher")
        shutil.copytree(zstd, scratch / "zstd")
        process.run([cosmocc, *FLAGS, "-w", *ZSTD_DEFINITIONS, "-c", "zstd/zstd.c", "-o", "zstd.o"], cwd=scratch)
        files = [f"launcher/{path.name}" for path in launcher_sources("linux")]
        options = [*FLAGS, "-std=gnu11", "-mcosmo", "-isystem", "zstd"]
        process.run([cosmocc, *options, *files, "zstd.o", "-o", "launcher.com"], cwd=scratch)
        return checked_program(cosmocc, scratch / "launcher.com")


def checked_program(cosmocc: Path, path: Path) -> bytes:
    """Return the bytes of a program that ``cosmocc`` wrote. Raises BuildError when it is no portable executable."""
    content = path.read_bytes() if path.is_file() else b""
    if len(content) < MIN_BYTES or not content.startswith(MAGICS):
        raise BuildError(
            f"{cosmocc}: wrote {len(content)} bytes that begin with {content[:6]!r}, expected an Actually Portable "
            f"Executable ({' or '.join(magic.decode() for magic in MAGICS)}); is it cosmocc 3 or newer?"
        )
    return content
