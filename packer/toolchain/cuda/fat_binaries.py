"""The code for GPUs inside a Linux library: one fat binary of each source file, as NVIDIA's compiler leaves them.

A fat binary begins with a header of 16 bytes (magic, version, size of the header, size of the rest); entries follow,
each with its kind, the size of its own header and of what comes after it: a machine's code as an ELF file, or text for
the driver to compile (PTX). Both are packed with zstandard when nvcc is told ``-compress-mode=size``. All numbers are
little-endian. Only what nvcc wrote here is ever read.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import zstandard

from packer.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECTION = ".nv_fatbin"
MAGIC, ALIGNMENT = b"\x50\xed\x55\xba", 8
HEADER, ENTRY = struct.Struct("<4sHHQ"), struct.Struct("<HHIQ")
TEXT, MACHINE_CODE = 1, 2
ZSTANDARD, ELF = b"\x28\xb5\x2f\xfd", b"\x7fELF"
PARAMETERS = ".nv.constant0."
TEXT_KERNEL = re.compile(r"^\s*(?:\.visible|\.weak)?\s*\.entry\s+([\w$]+)", re.MULTILINE)


@dataclass(frozen=True)
class FatBinary:
    """The code of one source file for all architectures, whole, and its kernels by their names in it."""

    content: bytes
    kernels: frozenset[str]


def fat_binaries(library: Path) -> list[FatBinary]:
    """Return the fat binaries of a library in the order in which its files were linked. Raises BuildError."""
    from elftools.elf.elffile import ELFFile

    with library.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(SECTION)
        data = b"" if section is None else section.data()
    found = list(split(data))
    if not found:
        raise BuildError(
            f"{library.name}: there is no code for GPUs in it; expected a backend that was built with CUDA"
        )
    return found


def split(data: bytes) -> Iterator[FatBinary]:
    """Take the content of a library's section apart; zeros may stand between. Raises BuildError."""
    at = 0
    while at < len(data):
        if data[at : at + len(MAGIC)] != MAGIC:
            if any(data[at : at + ALIGNMENT]):
                raise BuildError(f"the code for GPUs is laid out in a way that is not known (at byte {at})")
            at += ALIGNMENT
            continue
        _magic, _version, header_bytes, size_bytes = HEADER.unpack(_part(data, at, HEADER.size))
        content = _part(data, at, header_bytes + size_bytes)
        yield FatBinary(content, frozenset(_kernels(content, header_bytes)))
        at += len(content)


def _kernels(content: bytes, at: int) -> Iterator[str]:
    while at < len(content):
        kind, _version, header_bytes, size_bytes = ENTRY.unpack(_part(content, at, ENTRY.size))
        code = _unpacked(_part(content, at + header_bytes, size_bytes))
        if kind == MACHINE_CODE:
            yield from _kernels_of_machine_code(code)
        elif kind == TEXT:
            yield from TEXT_KERNEL.findall(code.decode("ascii", "replace"))
        at += header_bytes + size_bytes


def _part(data: bytes, at: int, size: int) -> bytes:
    if size <= 0 or at + size > len(data):
        raise BuildError(f"the code for GPUs ends before its {size} bytes at byte {at} do")
    return data[at : at + size]


def _unpacked(code: bytes) -> bytes:
    if code.startswith(ZSTANDARD):
        return zstandard.ZstdDecompressor().decompressobj().decompress(code)
    return code


def _kernels_of_machine_code(code: bytes) -> Iterator[str]:
    """The functions that have parameters from the host: each has a section for them."""
    from elftools.elf.elffile import ELFFile

    if not code.startswith(ELF):
        raise BuildError("the code for GPUs is packed in a way that is not known; expected zstandard")
    names = (section.name for section in ELFFile(io.BytesIO(code)).iter_sections())
    yield from (name.removeprefix(PARAMETERS) for name in names if name.startswith(PARAMETERS))
