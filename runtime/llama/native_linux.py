"""Linux: names of the native libraries, the C library, streams for llama.cpp, and which CPU variant is in use."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIANT_PATTERN = re.compile(r"libggml-cpu-([A-Za-z0-9_]+)\.so")
MAPS = Path("/proc/self/maps")
SEEK_SET = 0


def library_name(stem: str) -> str:
    """The file name of a native library: ``ggml`` is in ``libggml.so``."""
    return f"lib{stem}.so"


def c_library() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.CDLL(None)


@contextlib.contextmanager
def binding_import() -> Iterator[None]:
    """Surround the import of the binding."""
    yield


def open_stream(libc: ctypes.CDLL, path: Path) -> int | None:
    """Open ``path`` for reading and return the ``FILE *``, or ``None``."""
    libc.fopen.argtypes, libc.fopen.restype = [ctypes.c_char_p, ctypes.c_char_p], ctypes.c_void_p
    stream: int | None = libc.fopen(os.fsencode(path), b"rbe")
    return stream


def seek_stream(libc: ctypes.CDLL, stream: int, offset_bytes: int) -> bool:
    """Move a ``FILE *`` to an offset; ``False`` when that fails."""
    libc.fseeko.argtypes, libc.fseeko.restype = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int], ctypes.c_int
    return bool(libc.fseeko(stream, offset_bytes, SEEK_SET) == 0)


def loaded_variant(directory: Path) -> str | None:
    """Return the variant of the CPU backend that this process has mapped, or ``None``."""
    try:
        return variant_in_maps(MAPS.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def variant_in_maps(maps: str) -> str | None:
    """Return the variant whose library appears in the text of ``/proc/self/maps``, or ``None``."""
    match = VARIANT_PATTERN.search(maps)
    return match.group(1) if match else None
