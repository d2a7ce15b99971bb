"""Reads the few metadata values that are wanted before a bare GGUF is loaded, with ggml's own parser.

A packed file has them in its manifest; this is for ``--model PATH`` (gguf.h, ``gguf_init_from_file``).
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import InputError
from runtime.llama.model import NON_CAUSAL

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.llama.library import Library

TYPE_UINT32 = 4
TYPE_BOOL = 7
TYPE_UINT64 = 10
TYPE_STRING = 8


class InitParams(ctypes.Structure):
    """``gguf_init_params``."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))


@dataclass(frozen=True, kw_only=True)
class GgufHeader:
    """What a GGUF says about itself; zero or empty where it is silent. ``context_length`` in tokens.

    ``use`` is ``chat`` or ``embeddings``.
    """

    name: str
    architecture: str
    context_length: int
    use: str


def read_header(library: Library, path: Path) -> GgufHeader:
    """Read the header of the GGUF at ``path``. Raises InputError when it is not one."""
    base = library.base
    base.gguf_init_from_file.argtypes = [ctypes.c_char_p, InitParams]
    base.gguf_init_from_file.restype = ctypes.c_void_p
    base.gguf_free.argtypes, base.gguf_free.restype = [ctypes.c_void_p], None
    library.log.clear()
    handle = base.gguf_init_from_file(os.fsencode(path), InitParams(no_alloc=True, ctx=None))
    if not handle:
        raise InputError(f"{path}: can't be read as a GGUF model{library.log.explain()}")
    try:
        architecture = text_value(base, handle, "general.architecture")
        return GgufHeader(
            name=text_value(base, handle, "general.name") or path.stem,
            architecture=architecture,
            context_length=integer_value(base, handle, f"{architecture}.context_length"),
            use="embeddings" if _looks_both_ways(base, handle, architecture) else "chat",
        )
    finally:
        base.gguf_free(handle)


def find_key(base: ctypes.CDLL, handle: int, key: str) -> tuple[int, int]:
    """Return the index and the type of ``key``, or ``(-1, -1)``."""
    base.gguf_find_key.argtypes, base.gguf_find_key.restype = [ctypes.c_void_p, ctypes.c_char_p], ctypes.c_int64
    base.gguf_get_kv_type.argtypes, base.gguf_get_kv_type.restype = [ctypes.c_void_p, ctypes.c_int64], ctypes.c_int
    index = int(base.gguf_find_key(handle, key.encode()))
    return (index, int(base.gguf_get_kv_type(handle, index))) if index >= 0 else (-1, -1)


def text_value(base: ctypes.CDLL, handle: int, key: str) -> str:
    """Return the text under ``key``, empty where there is none."""
    base.gguf_get_val_str.argtypes, base.gguf_get_val_str.restype = [ctypes.c_void_p, ctypes.c_int64], ctypes.c_char_p
    index, kind = find_key(base, handle, key)
    if kind != TYPE_STRING:
        return ""
    value: bytes = base.gguf_get_val_str(handle, index)
    return value.decode("utf-8", "replace")


def _looks_both_ways(base: ctypes.CDLL, handle: int, architecture: str) -> bool:
    base.gguf_get_val_bool.argtypes, base.gguf_get_val_bool.restype = [ctypes.c_void_p, ctypes.c_int64], ctypes.c_bool
    index, kind = find_key(base, handle, f"{architecture}.attention.causal")
    return architecture in NON_CAUSAL or (kind == TYPE_BOOL and not base.gguf_get_val_bool(handle, index))


def integer_value(base: ctypes.CDLL, handle: int, key: str) -> int:
    """Return the unsigned number under ``key``, 0 where there is none."""
    base.gguf_get_val_u32.argtypes, base.gguf_get_val_u32.restype = [ctypes.c_void_p, ctypes.c_int64], ctypes.c_uint32
    base.gguf_get_val_u64.argtypes, base.gguf_get_val_u64.restype = [ctypes.c_void_p, ctypes.c_int64], ctypes.c_uint64
    index, kind = find_key(base, handle, key)
    if kind == TYPE_UINT32:
        return int(base.gguf_get_val_u32(handle, index))
    return int(base.gguf_get_val_u64(handle, index)) if kind == TYPE_UINT64 else 0
