"""Draws the program's icon: a speech bubble that holds a box tied with a ribbon, as the page's favicon shows it.

Shapes are signed distances (negative inside) in a square of 32 units; a pixel's share of a shape follows from the
distance at its centre, which gives smooth edges without a drawing library.
"""

from __future__ import annotations

import math
import struct
import zlib

UNITS = 32.0
GREEN = (0x1F, 0x7A, 0x5C)
PAPER = (0xF6, 0xF5, 0xF0)
GOLD = (0xF2, 0xC8, 0x79)
SIZES = (16, 24, 32, 48, 256)
LARGEST_BITMAP = 48

Colour = tuple[int, int, int]


def icon_images() -> list[tuple[int, bytes]]:
    """The icon in every size, as ``(pixels, image)``: bitmaps when small, PNG when large, as Windows expects them."""
    return [(size, bitmap(size) if size <= LARGEST_BITMAP else png(size)) for size in SIZES]


def pixels(size: int) -> list[list[tuple[int, int, int, int]]]:
    """Rows from the top of RGBA pixels, colours not premultiplied."""
    unit = UNITS / size
    return [[_pixel((x + 0.5) * unit, (y + 0.5) * unit, unit) for x in range(size)] for y in range(size)]


def _pixel(x: float, y: float, unit: float) -> tuple[int, int, int, int]:
    body = min(_rounded_box(x, y), _tail(x, y))
    colour = GREEN
    ribbon = max(min(abs(y - 14), abs(x - 19.5)) - 1.2, _rounded_box(x, y))
    colour = _mixed(colour, PAPER, _share(ribbon, unit))
    colour = _mixed(colour, GOLD, _share(math.hypot(x - 19.5, y - 14) - 3.1, unit))
    return (*colour, round(255 * _share(body, unit)))


def _rounded_box(x: float, y: float) -> float:
    """Distance to the box from (3, 3) to (29, 25) with corners of radius 4."""
    dx, dy = abs(x - 16) - 9, abs(y - 14) - 7
    return math.hypot(max(dx, 0), max(dy, 0)) + min(max(dx, dy), 0) - 4


def _tail(x: float, y: float) -> float:
    """Distance to the bubble's tail: the triangle (6, 24), (14.5, 24), (6, 30.5), roughly."""
    slope = ((x - 14.5) * 6.5 + (y - 24.5) * 8.5) / math.hypot(6.5, 8.5)
    return max(6 - x, 22 - y, slope)


def _share(distance: float, unit: float) -> float:
    return min(1.0, max(0.0, 0.5 - distance / unit))


def _mixed(below: Colour, above: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(below, above, strict=True))
    return red, green, blue


def bitmap(size: int) -> bytes:
    """A device-independent bitmap with 32 bits a pixel and the mask that icons carry behind it."""
    header = struct.pack("<IiiHHIIiiII", 40, size, size * 2, 1, 32, 0, 0, 0, 0, 0, 0)
    rows = [b"".join(bytes((b, g, r, a)) for r, g, b, a in row) for row in reversed(pixels(size))]
    mask = bytes(-(-size // 32) * 4 * size)
    return header + b"".join(rows) + mask


def png(size: int) -> bytes:
    """A PNG file (RFC 2083) with 8 bits a channel."""
    rows = b"".join(b"\0" + b"".join(bytes(pixel) for pixel in row) for row in pixels(size))
    header = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
