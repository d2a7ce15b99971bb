"""Code for GPUs is found in a library, whole and with its kernels; what is laid out otherwise is refused."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
import zstandard

from packer.errors import BuildError
from packer.toolchain import process
from packer.toolchain.build_cache import default_build_cache
from packer.toolchain.cuda.fat_binaries import MACHINE_CODE, TEXT, fat_binaries, split
from packer.toolchain.environment import build_environment

if TYPE_CHECKING:
    from pathlib import Path

ASSEMBLY = """
.version 9.0
.visible .entry _Z4fillPi(
\t.param .u64 values
)
.weak .entry _Z5emptyv()
.func helper()
"""


def elf(*sections: str) -> bytes:
    """An ELF file of 64 bits with empty sections of these names."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (*sections, ".shstrtab"))
    headers = bytes(64)
    at = 1
    for name in sections:
        headers += struct.pack("<IIQQQQIIQQ", at, 1, 0, 0, 64, 0, 0, 0, 1, 0)
        at += len(name) + 1
    headers += struct.pack("<IIQQQQIIQQ", at, 3, 0, 0, 64, len(names), 0, 0, 1, 0)
    number = len(sections) + 2
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 190, 1, 0, 0, 64 + len(names), 0, 64, 0, 0, 64, number, number - 1)
    return identity + header + names + headers


def entry(kind: int, code: bytes, *, packed: bool = True) -> bytes:
    body = zstandard.ZstdCompressor().compress(code) if packed else code
    body += bytes(-len(body) % 8)
    return struct.pack("<HHIQ", kind, 0x101, 64, len(body)) + bytes(48) + body


def fat_binary(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("<4sHHQ", b"\x50\xed\x55\xba", 1, 16, len(body)) + body


MACHINE = elf(".text._Z4fillPi", ".nv.constant0._Z4fillPi", ".nv.constant0._Z3oddv", ".nv.info")
FIRST = fat_binary(entry(MACHINE_CODE, MACHINE), entry(TEXT, ASSEMBLY.encode()))
SECOND = fat_binary(entry(MACHINE_CODE, elf(".nv.constant0._Z6secondv"), packed=False))


def test_each_is_found_whole_with_its_kernels() -> None:
    first, second = split(FIRST + bytes(24) + SECOND + bytes(8))
    assert (first.content, first.kernels) == (FIRST, {"_Z4fillPi", "_Z3oddv", "_Z5emptyv"})
    assert (second.content, second.kernels) == (SECOND, {"_Z6secondv"})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x01" * 16, "laid out in a way that is not known .at byte 0."),
        (FIRST + b"\x01" * 8, "laid out in a way that is not known"),
        (FIRST[:-8], "ends before its"),
        (FIRST[:12], "ends before its 16 bytes at byte 0 do"),
        (FIRST[:8] + struct.pack("<Q", 2**63) + FIRST[16:], "ends before its"),
        (fat_binary(entry(MACHINE_CODE, b"packed by something else", packed=False)), "expected zstandard"),
    ],
)
def test_what_is_laid_out_otherwise_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(BuildError, match=words):
        list(split(data))


def test_they_are_taken_out_of_a_library(tmp_path: Path) -> None:
    zig = build_environment(default_build_cache(), lambda _text: None).zig
    source, code, library = tmp_path / "code.s", tmp_path / "code.bin", tmp_path / "libsample.so"
    code.write_bytes(FIRST + SECOND)
    source.write_text(f'.section .nv_fatbin,"a"\n.balign 8\n.incbin "{code}"\n')
    process.run([zig, "cc", "-target", "x86_64-linux-gnu", "-shared", "-nostdlib", source, "-o", library])
    assert [one.content for one in fat_binaries(library)] == [FIRST, SECOND]


def test_a_library_without_any_is_named(tmp_path: Path) -> None:
    library = tmp_path / "libother.so"
    library.write_bytes(elf(".text"))
    with pytest.raises(BuildError, match=r"libother\.so: there is no code for GPUs in it"):
        fat_binaries(library)
