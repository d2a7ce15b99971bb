"""Windows: names of the native libraries, the C library, streams for llama.cpp, and which CPU variant is in use.

A ``FILE *`` must come from the C runtime that the libraries use: ``ucrtbase``, which is part of Windows.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform != "win32":
    raise ImportError("this module is for Windows")

SEEK_SET = 0


def library_name(stem: str) -> str:
    """The file name of a native library: ``ggml`` is in ``ggml.dll``."""
    return f"{stem}.dll"


def c_library() -> ctypes.CDLL:
    """The C runtime that the libraries use."""
    return ctypes.CDLL("ucrtbase")


@contextlib.contextmanager
def binding_import() -> Iterator[None]:
    """Surround the import of the binding, which puts its folder into ``PATH``; programs we start want it back."""
    before = os.environ.setdefault("PATH", "")
    try:
        yield
    finally:
        os.environ["PATH"] = before


def open_stream(libc: ctypes.CDLL, path: Path) -> int | None:
    """Open ``path`` for reading and return the ``FILE *``, or ``None``."""
    libc._wfopen.argtypes, libc._wfopen.restype = [ctypes.c_wchar_p, ctypes.c_wchar_p], ctypes.c_void_p
    stream: int | None = libc._wfopen(str(path), "rbN")
    return stream


def seek_stream(libc: ctypes.CDLL, stream: int, offset_bytes: int) -> bool:
    """Move a ``FILE *`` to an offset; ``False`` when that fails."""
    libc._fseeki64.argtypes, libc._fseeki64.restype = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int], ctypes.c_int
    return bool(libc._fseeki64(stream, offset_bytes, SEEK_SET) == 0)


def loaded_variant(directory: Path) -> str | None:
    """Return the variant of the CPU backend in ``directory`` that this process has loaded, or ``None``."""
    handle_of = ctypes.WinDLL("kernel32").GetModuleHandleW
    handle_of.argtypes, handle_of.restype = [ctypes.c_wchar_p], ctypes.c_void_p
    loaded = (path for path in sorted(directory.glob("ggml-cpu-*.dll")) if handle_of(path.name))
    return next((path.stem.removeprefix("ggml-cpu-") for path in loaded), None)
