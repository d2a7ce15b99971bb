"""Carries the build machine's C library along, and says how new a host's own must be to do without it.

A Python built on a current system asks for a current glibc. With the loader and the libraries named here beside it
(3 MB) the frozen program also starts on older systems, on musl and in an empty root; the launcher decides which.
GPU drivers are linked against the host's library, so that one is preferred wherever it is new enough.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.toolchain.build_cache import digest_of_files

if TYPE_CHECKING:
    from collections.abc import Iterator

CARRIED = (
    "ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1",
    "libresolv.so.2",
)  # fmt: skip
ZLIB = "libz.so.1"
DIRECTORIES = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib")
VERSION_SYMBOL = re.compile(r"GLIBC_(\d+(?:\.\d+)+)$")


def find_library(name: str) -> Path:
    """Return the file of a system library by its soname. Raises BuildError when the system has none."""
    for directory in DIRECTORIES:
        path = Path(directory) / name
        if path.exists():
            return path.resolve()
    raise BuildError(f"{name} was not found in {', '.join(DIRECTORIES)}; it is needed beside the frozen runtime")


def identity() -> dict[str, str]:
    """Digest of every library that would be carried."""
    return digest_of_files(Path("/"), [find_library(name) for name in (*CARRIED, ZLIB)])


def add_carried(tree: Path) -> None:
    """Put the C library into ``tree/libc``, zlib (which the bootloader needs) into ``tree/lib``, and the need."""
    carried = tree / "libc"
    carried.mkdir()
    for name in CARRIED:
        _copy(find_library(name), carried / name)
    zlib = tree / "_internal" / ZLIB
    for directory in (carried, tree / "lib"):
        directory.mkdir(exist_ok=True)
        _copy(zlib if zlib.exists() else find_library(ZLIB), directory / ZLIB)
    (carried / "ld-linux-x86-64.so.2").chmod(0o755)
    version = newest_glibc(path for path in tree.rglob("*") if path.is_file() and path.parent != carried)
    (tree / "requires-glibc").write_text(f"{version}\n", encoding="ascii")


def _copy(source: Path, destination: Path) -> None:
    shutil.copyfile(source, destination)
    destination.chmod(0o644)


def newest_glibc(paths: Iterator[Path]) -> str:
    """Return the newest ``GLIBC_x.y`` that any of the ELF files among ``paths`` asks for."""
    newest: tuple[int, ...] = (2, 17)
    for path in paths:
        for version in needed_glibc_versions(path):
            newest = max(newest, tuple(int(part) for part in version.split(".")))
    return ".".join(str(part) for part in newest)


def needed_glibc_versions(path: Path) -> set[str]:
    """Versions of glibc that one ELF file asks for; empty for any other file."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVerNeedSection

    with path.open("rb") as stream:
        if stream.read(4) != b"\x7fELF":
            return set()
        section = ELFFile(stream).get_section_by_name(".gnu.version_r")
        if not isinstance(section, GNUVerNeedSection):
            return set()
        names = [auxiliary.name for _, needs in section.iter_versions() for auxiliary in needs]
    return {match[1] for name in names if (match := VERSION_SYMBOL.match(name))}


def host_glibc_version() -> str | None:
    """The running process' glibc version, or ``None`` on another C library."""
    try:
        libc = ctypes.CDLL(None if os.name == "posix" else "msvcrt")
        libc.gnu_get_libc_version.restype = ctypes.c_char_p
        return str(libc.gnu_get_libc_version().decode())
    except AttributeError:
        return None
