"""Signed Windows programs (Authenticode): where the signature stands, and which header fields signing changes.

Signing appends the signature at the next multiple of eight bytes, writes its place and size into the security
directory, and computes the checksum anew. A packed file stays readable and verifiable: the archive ends before the
signature, and the digest of the launcher is computed with those twelve header bytes taken as zero.

Source: Microsoft, "PE Format": optional header, data directories, the attribute certificate table.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PADDING = 7
NEW_HEADER_FIELD = 0x3C
MAX_NEW_HEADER_OFFSET = 65536
PE32_PLUS = 0x20B
OPTIONAL_HEADER = 24
CHECKSUM = OPTIONAL_HEADER + 64
NUM_DIRECTORIES = OPTIONAL_HEADER + 108
SECURITY_DIRECTORY = OPTIONAL_HEADER + 112 + 4 * 8
HEADERS_BYTES = SECURITY_DIRECTORY + 8


@dataclass(frozen=True, kw_only=True)
class SignatureFields:
    """What the headers say of a signature; ``ranges`` are the ``(offset, length)`` that signing changes."""

    offset_bytes: int = 0
    size_bytes: int = 0
    ranges: tuple[tuple[int, int], ...] = ()

    def signature_start(self, file_bytes: int) -> int:
        """Where the signature begins, which is the file's end when there is none or it does not end the file."""
        ends_the_file = self.size_bytes > 0 and self.offset_bytes + self.size_bytes == file_bytes
        return self.offset_bytes if ends_the_file else file_bytes

    def blanked(self, piece: bytes, position: int) -> bytes:
        """Return ``piece``, which stands at ``position`` in the file, with the changing fields as zeros."""
        touched = [(offset - position, length) for offset, length in self.ranges]
        touched = [(start, length) for start, length in touched if start < len(piece) and start + length > 0]
        if not touched:
            return piece
        content = bytearray(piece)
        for start, length in touched:
            for index in range(max(0, start), min(len(piece), start + length)):
                content[index] = 0
        return bytes(content)


def signature_fields(read: Callable[[int, int], bytes]) -> SignatureFields:
    """Read the headers with ``read(count, offset)``; a file that is no 64-bit PE program has nothing of the kind."""
    start = read(64, 0)
    if len(start) < 64 or start[:2] != b"MZ":
        return SignatureFields()
    offset = struct.unpack_from("<I", start, NEW_HEADER_FIELD)[0]
    headers = read(HEADERS_BYTES, offset) if offset <= MAX_NEW_HEADER_OFFSET else b""
    if len(headers) < HEADERS_BYTES or headers[:4] != b"PE\0\0":
        return SignatureFields()
    magic = struct.unpack_from("<H", headers, OPTIONAL_HEADER)[0]
    num_directories = struct.unpack_from("<I", headers, NUM_DIRECTORIES)[0]
    if magic != PE32_PLUS or num_directories <= 4:
        return SignatureFields()
    place, size = struct.unpack_from("<2I", headers, SECURITY_DIRECTORY)
    ranges = ((offset + CHECKSUM, 4), (offset + SECURITY_DIRECTORY, 8))
    return SignatureFields(offset_bytes=place, size_bytes=size, ranges=ranges)


def blanked_launcher(launcher: bytes) -> bytes:
    """Return the bytes over which the launcher's digest is computed."""
    fields = signature_fields(lambda count, offset: launcher[offset : offset + count])
    return fields.blanked(launcher, 0)
