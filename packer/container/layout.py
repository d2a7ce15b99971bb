"""The container format, version 1: this docstring is its specification.

A bundle is one file. Offsets count from the start of the *file*, so any ZIP tool lists it although a program stands
in front::

    launcher          native or portable executable, zero-padded to a multiple of 4096 bytes
    entry ...         local file header (APPNOTE 4.3.7), then data; entries in the order they were written
    central directory one record per entry, same order (APPNOTE 4.3.12)
    ZIP64 end record  56 bytes, always present (APPNOTE 4.3.14)
    ZIP64 locator     20 bytes, always present (APPNOTE 4.3.15)
    end record        22 bytes, no comment (APPNOTE 4.3.16); it ends the file exactly, or
    signature         of a signed Windows program follows, after zeros up to a multiple of 8 bytes (``pe_signature``)

Rules that go beyond ZIP, so that equal inputs give equal bytes and every byte of the file can be verified:

* Methods are 0 (STORED) and 93 (zstd, one frame that declares its content size). No encryption, no data descriptors.
* The general purpose flags are bit 11 (names are UTF-8) alone; the time of every entry is 1980-01-01 00:00.
* Every entry is a regular file with Unix mode 0644 or 0755 in the external attributes, made on "Unix", version 6.3.
* Local headers carry sizes and CRC-32; a size of 4 GiB or more moves both sizes into a ZIP64 extra field (id 1) in
  the local header; in the central record only the fields that overflow move, in APPNOTE's order.
* Bytes between one entry's data and the next local header are zero. They serve alignment: the data of an entry under
  ``model/`` starts at a multiple of 65536 bytes (page size of every platform we target, Windows' mapping granularity)
  so that it can be mapped in place; no other gap stands in the file.
* Names are relative, ``/``-separated, without empty, ``.`` or ``..`` components, at most 4096 bytes, and unique.

Entries::

    config.toml                     baked-in settings
    licenses/<component>.txt        licence texts of everything inside
    sbom.spdx.json                  what is inside, as SPDX
    launcher/<target>               in a portable file and in a runtime file: the native launcher, by itself
    model/<name>.gguf               STORED, aligned; absent when the manifest's ``weights`` name a file beside this one
    model/adapters/<name>.gguf      STORED, aligned: LoRA adapters, applied in the manifest's order
    model/prompts/<number>.state    STORED, aligned: prompts that were read beforehand (``prompt_states``)
    runtime/<target>/runtime.id     STORED: 64 hexadecimal digits and a newline; names the cache directory
    runtime/<target>/<path>         frozen Python and native libraries
    manifest.json                   last: format version, SHA-256 of the launcher and of every other entry; that of a
                                    Windows launcher counts the header fields that signing changes as zero

Sources: PKWARE APPNOTE.TXT 6.3.10; method 93 is APPNOTE 4.4.5.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

FORMAT_VERSION = 1

STORED = 0
ZSTANDARD = 93

LAUNCHER_ALIGNMENT_BYTES = 4096
MODEL_ALIGNMENT_BYTES = 65536

MODEL_PREFIX = "model/"
ADAPTERS_PREFIX = "model/adapters/"
PROMPTS_PREFIX = "model/prompts/"
PROJECTOR_PREFIX = "model/projector/"
RUNTIME_PREFIX = "runtime/"
LICENSES_PREFIX = "licenses/"
LAUNCHER_PREFIX = "launcher/"
CONFIG_NAME = "config.toml"
MANIFEST_NAME = "manifest.json"
SBOM_NAME = "sbom.spdx.json"

MAX_NAME_BYTES = 4096
MAX_DIRECTORY_BYTES = 64 * 1024 * 1024

UINT16_MAX = 0xFFFF
UINT32_MAX = 0xFFFFFFFF

FLAG_UTF8 = 1 << 11
VERSION_MADE_BY = (3 << 8) | 63
VERSION_NEEDED = {STORED: 45, ZSTANDARD: 63}
DOS_TIME = 0
DOS_DATE = (0 << 9) | (1 << 5) | 1
S_IFREG = 0o100000
MODES = (0o644, 0o755)

LOCAL_HEADER = struct.Struct("<4s5H3L2H")
CENTRAL_RECORD = struct.Struct("<4s6H3L5H2L")
ZIP64_END_RECORD = struct.Struct("<4sQ2H2L4Q")
ZIP64_LOCATOR = struct.Struct("<4sLQL")
END_RECORD = struct.Struct("<4s4H2LH")

LOCAL_SIGNATURE = b"PK\x03\x04"
CENTRAL_SIGNATURE = b"PK\x01\x02"
ZIP64_END_SIGNATURE = b"PK\x06\x06"
ZIP64_LOCATOR_SIGNATURE = b"PK\x06\x07"
END_SIGNATURE = b"PK\x05\x06"
TRAILER_BYTES = ZIP64_END_RECORD.size + ZIP64_LOCATOR.size + END_RECORD.size

ZIP64_EXTRA_ID = 1


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a container; sizes and offsets in bytes, offsets from the start of the file."""

    name: str
    method: int
    crc32: int
    stored_bytes: int
    size_bytes: int
    mode: int
    header_offset_bytes: int

    @property
    def data_offset_bytes(self) -> int:
        """Offset of the first byte of the stored data."""
        return self.header_offset_bytes + local_header_bytes(self.name, self.size_bytes, self.stored_bytes)


def launcher_name(target: str) -> str:
    """Name of the entry that holds the launcher of ``target``."""
    return f"{LAUNCHER_PREFIX}{target}"


def runtime_id_name(target: str) -> str:
    """Name of the entry that names the directory which the runtime of ``target`` unpacks to."""
    return f"{RUNTIME_PREFIX}{target}/runtime.id"


def align_up(offset: int, alignment: int) -> int:
    """Return the smallest multiple of ``alignment`` that is not below ``offset``."""
    return -(-offset // alignment) * alignment


def name_problem(name: str) -> str | None:
    """Say what is wrong with an entry name, or ``None`` when it obeys the rules of the format."""
    encoded = name.encode("utf-8", "surrogatepass")
    if not encoded or len(encoded) > MAX_NAME_BYTES:
        return f"is {len(encoded)} bytes long, expected 1 to {MAX_NAME_BYTES}"
    if "\\" in name or "\0" in name or ":" in name:
        return "contains a backslash, a colon or a NUL"
    if any(part in {"", ".", ".."} for part in name.split("/")):
        return "is absolute or has an empty, '.' or '..' component"
    return None


def alignment_of(name: str) -> int:
    """Alignment in bytes of the data of the entry called ``name``."""
    return MODEL_ALIGNMENT_BYTES if name.startswith(MODEL_PREFIX) else 1


def header_offset_for(name: str, size_bytes: int, stored_bytes: int, position: int) -> int:
    """First offset at or after ``position`` where the local header may stand so that the data is aligned."""
    header_bytes = local_header_bytes(name, size_bytes, stored_bytes)
    return align_up(position + header_bytes, alignment_of(name)) - header_bytes


def _needs_zip64_local(size_bytes: int, stored_bytes: int) -> bool:
    return size_bytes >= UINT32_MAX or stored_bytes >= UINT32_MAX


def local_header_bytes(name: str, size_bytes: int, stored_bytes: int) -> int:
    """Length of the local header of an entry, name and extra field included."""
    extra = 20 if _needs_zip64_local(size_bytes, stored_bytes) else 0
    return LOCAL_HEADER.size + len(name.encode()) + extra


def pack_local_header(entry: Entry) -> bytes:
    """Serialise the one local header that the format allows for ``entry``."""
    name = entry.name.encode()
    size, stored, extra = entry.size_bytes, entry.stored_bytes, b""
    if _needs_zip64_local(size, stored):
        extra = struct.pack("<2H2Q", ZIP64_EXTRA_ID, 16, size, stored)
        size = stored = UINT32_MAX
    return (
        LOCAL_HEADER.pack(
            LOCAL_SIGNATURE,
            VERSION_NEEDED[entry.method],
            FLAG_UTF8,
            entry.method,
            DOS_TIME,
            DOS_DATE,
            entry.crc32,
            stored,
            size,
            len(name),
            len(extra),
        )
        + name
        + extra
    )


def pack_central_record(entry: Entry) -> bytes:
    """Serialise the one central directory record that the format allows for ``entry``."""
    name = entry.name.encode()
    moved = b""
    shown = []
    for value in (entry.size_bytes, entry.stored_bytes, entry.header_offset_bytes):
        if value >= UINT32_MAX:
            moved += struct.pack("<Q", value)
        shown.append(min(value, UINT32_MAX))
    extra = struct.pack("<2H", ZIP64_EXTRA_ID, len(moved)) + moved if moved else b""
    size, stored, offset = shown
    return (
        CENTRAL_RECORD.pack(
            CENTRAL_SIGNATURE,
            VERSION_MADE_BY,
            VERSION_NEEDED[entry.method],
            FLAG_UTF8,
            entry.method,
            DOS_TIME,
            DOS_DATE,
            entry.crc32,
            stored,
            size,
            len(name),
            len(extra),
            0,
            0,
            0,
            (S_IFREG | entry.mode) << 16,
            offset,
        )
        + name
        + extra
    )


def pack_trailer(*, num_entries: int, directory_offset: int, directory_bytes: int) -> bytes:
    """Serialise the ZIP64 end record, its locator and the end record that close a container."""
    zip64_end = ZIP64_END_RECORD.pack(
        ZIP64_END_SIGNATURE,
        ZIP64_END_RECORD.size - 12,
        VERSION_MADE_BY,
        VERSION_NEEDED[STORED],
        0,
        0,
        num_entries,
        num_entries,
        directory_bytes,
        directory_offset,
    )
    locator = ZIP64_LOCATOR.pack(ZIP64_LOCATOR_SIGNATURE, 0, directory_offset + directory_bytes, 1)
    shown_entries = min(num_entries, UINT16_MAX)
    end = END_RECORD.pack(
        END_SIGNATURE,
        0,
        0,
        shown_entries,
        shown_entries,
        min(directory_bytes, UINT32_MAX),
        min(directory_offset, UINT32_MAX),
        0,
    )
    return zip64_end + locator + end
