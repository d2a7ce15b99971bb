"""Builds packed files by hand for the launcher's tests, independently of the product's own writer.

Every record is written field by field from PKWARE's APPNOTE 6.3.10, so that a test can put a wrong value into any of
them. The layout that the launcher expects is described in ``packer/container/layout.py``.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "runtime/linux-x86_64/"
RUNTIME_ID = "0123456789abcdef" * 4
STORED = 0
ZSTANDARD = 93
UINT32_MAX = 0xFFFFFFFF
REGULAR_FILE = 0o100000


@dataclass(frozen=True, kw_only=True)
class Item:
    """One entry; the fields after ``mode`` override what an honest writer would put there."""

    name: str
    content: bytes
    method: int = STORED
    mode: int = REGULAR_FILE | 0o644
    align_bytes: int = 1
    size_bytes: int | None = None
    crc32: int | None = None
    flags: int = 1 << 11
    local_name: str | None = None
    stored: bytes | None = None
    gap_bytes: int = 0
    zip64_sizes: bool = False


@dataclass(kw_only=True)
class Layout:
    """Where the parts of a packed file lie: byte ranges ``(start, end)``."""

    local_headers: dict[str, tuple[int, int]] = field(default_factory=dict)
    data: dict[str, tuple[int, int]] = field(default_factory=dict)
    records: dict[str, tuple[int, int]] = field(default_factory=dict)
    trailer: tuple[int, int] = (0, 0)
    size_bytes: int = 0


def runtime_item(path: str, content: bytes, *, executable: bool = False, compressed: bool = True) -> Item:
    """An entry of the runtime."""
    return Item(
        name=PREFIX + path,
        content=content,
        method=ZSTANDARD if compressed else STORED,
        mode=REGULAR_FILE | (0o755 if executable else 0o644),
    )


def runtime_items(chat: bytes, **files: bytes) -> list[Item]:
    """A small runtime: its id, the program, what it requires, a carried loader, and ``files`` below ``_internal``."""
    return [
        runtime_item("runtime.id", f"{RUNTIME_ID}\n".encode(), compressed=False),
        runtime_item("chat", chat, executable=True),
        runtime_item("requires-glibc", b"2.17\n", compressed=False),
        runtime_item("libc/ld-linux-x86-64.so.2", chat, executable=True),
        runtime_item("_internal/base_library.zip", b"not really a zip " * 4000),
        *(runtime_item(f"_internal/{name}", content) for name, content in files.items()),
    ]


def other_items() -> list[Item]:
    """The entries that don't concern the launcher."""
    return [
        Item(name="config.toml", content=b'title = "Test"\n'),
        Item(name="licenses/zstd.txt", content=b"licence " * 100, method=ZSTANDARD),
        Item(name="model/tiny.gguf", content=b"GGUF" + bytes(range(256)) * 16, align_bytes=65536),
    ]


def write(path: Path, launcher: bytes, items: list[Item]) -> Layout:
    """Write a packed file with the given launcher and entries; gaps become holes of a sparse file."""
    layout = Layout()
    records: list[bytes] = []
    with path.open("wb") as file:
        file.write(launcher)
        position = -(-len(launcher) // 4096) * 4096
        for item in items:
            stored = item.stored if item.stored is not None else _stored(item)
            header_bytes = len(_local_header(item, stored))
            data_offset = -(-(position + item.gap_bytes + header_bytes) // item.align_bytes) * item.align_bytes
            offset = data_offset - header_bytes
            file.seek(offset)
            file.write(_local_header(item, stored) + stored)
            position = data_offset + len(stored)
            layout.local_headers[item.name] = (offset, data_offset)
            layout.data[item.name] = (data_offset, position)
            records.append(_central_record(item, stored, offset))
        directory = position
        file.seek(directory)
        for item, record in zip(items, records, strict=True):
            layout.records[item.name] = (position, position + len(record))
            position += len(record)
        file.write(b"".join(records) + trailer(len(items), directory, position - directory))
        layout.trailer = (position, position + 98)
        layout.size_bytes = position + 98
    path.chmod(0o755)
    return layout


def trailer(num_entries: int, directory_offset: int, directory_bytes: int) -> bytes:
    """ZIP64 end record, locator and end record (APPNOTE 4.3.14 to 4.3.16)."""
    zip64_end = struct.pack(
        "<IQHHIIQQQQ",
        0x06064B50,
        44,
        (3 << 8) | 63,
        45,
        0,
        0,
        num_entries,
        num_entries,
        directory_bytes,
        directory_offset,
    )
    locator = struct.pack("<IIQI", 0x07064B50, 0, (directory_offset + directory_bytes) % 2**64, 1)
    end = struct.pack(
        "<IHHHHIIH",
        0x06054B50,
        0,
        0,
        min(num_entries, 0xFFFF),
        min(num_entries, 0xFFFF),
        min(directory_bytes, UINT32_MAX),
        min(directory_offset, UINT32_MAX),
        0,
    )
    return zip64_end + locator + end


def _stored(item: Item) -> bytes:
    if item.method != ZSTANDARD:
        return item.content
    return zstandard.ZstdCompressor(level=3, write_content_size=True, write_checksum=False).compress(item.content)


def _crc32(item: Item) -> int:
    return zlib.crc32(item.content) if item.crc32 is None else item.crc32


def _size(item: Item) -> int:
    return len(item.content) if item.size_bytes is None else item.size_bytes


def _local_header(item: Item, stored: bytes) -> bytes:
    name = (item.local_name or item.name).encode()
    extra = struct.pack("<HHQQ", 1, 16, _size(item), len(stored)) if item.zip64_sizes else b""
    fixed = struct.pack(
        "<IHHHHHIIIHH",
        0x04034B50,
        63,
        item.flags,
        item.method,
        0,
        0x21,
        _crc32(item),
        UINT32_MAX if item.zip64_sizes else len(stored),
        UINT32_MAX if item.zip64_sizes else _size(item),
        len(name),
        len(extra),
    )
    return fixed + name + extra


def _central_record(item: Item, stored: bytes, offset: int) -> bytes:
    name = item.name.encode()
    moved = struct.pack("<QQ", _size(item), len(stored)) if item.zip64_sizes else b""
    moved += struct.pack("<Q", offset) if offset >= UINT32_MAX else b""
    extra = struct.pack("<HH", 1, len(moved)) + moved if moved else b""
    fixed = struct.pack(
        "<IHHHHHHIIIHHHHHII",
        0x02014B50,
        (3 << 8) | 63,
        63,
        item.flags,
        item.method,
        0,
        0x21,
        _crc32(item),
        UINT32_MAX if item.zip64_sizes else len(stored),
        UINT32_MAX if item.zip64_sizes else _size(item),
        len(name),
        len(extra),
        0,
        0,
        0,
        item.mode << 16,
        min(offset, UINT32_MAX),
    )
    return fixed + name + extra
