"""Reads importance matrices: how much each input column of a weight mattered, for better low-bit quantization.

Two forms exist. The GGUF form holds ``<tensor>.in_sum2`` (sums of squared activations) and ``<tensor>.counts`` as F32
tensors; the older binary form holds means. Both are those of upstream's ``common/imatrix-loader.cpp``.
"""

from __future__ import annotations

import array
import ctypes
import os
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from packer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.llama.library import Library

GGUF_MAGIC = b"GGUF"
SUMS, COUNTS = ".in_sum2", ".counts"
TYPE_F32 = 0
MAX_ENTRIES = 1 << 20
MAX_NAME_BYTES = 1024

Importance = dict[str, "array.array[float]"]
"""For each weight's name one number a column, of all its matrices one after the other."""


class _InitParams(ctypes.Structure):
    """``gguf_init_params`` of gguf.h."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.POINTER(ctypes.c_void_p)))


def load_importance(library: Library, path: Path) -> Importance:
    """Read the importance matrix at ``path``. Raises InputError when it is none, or damaged."""
    try:
        with path.open("rb") as stream:
            if stream.read(4) != GGUF_MAGIC:
                stream.seek(0)
                return _read_binary(stream, path)
    except OSError as error:
        raise InputError(f"{path}: the importance matrix can't be read ({error.strerror})") from error
    return _read_gguf(library, path)


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: is no importance matrix ({reason}); expected a file made by llama-imatrix")


def _read_gguf(library: Library, path: Path) -> Importance:
    tensors = _f32_tensors(library.base, path)
    names = sorted(name.removesuffix(SUMS) for name in tensors if name.endswith(SUMS))
    if not names:
        raise _damaged(path, f"it has no tensor named *{SUMS}")
    result: Importance = {}
    for name in names:
        sums, counts = tensors[name + SUMS], tensors.get(name + COUNTS)
        if not counts or len(sums) % len(counts):
            raise _damaged(path, f"{name}{COUNTS} is missing or doesn't fit {name}{SUMS}")
        width = len(sums) // len(counts)
        result[name] = array.array(
            "f", (value / counts[at // width] if counts[at // width] > 0 else 1.0 for at, value in enumerate(sums))
        )
    return result


def _f32_tensors(ggml: Any, path: Path) -> dict[str, array.array[float]]:
    """Return the F32 tensors of a GGUF file by name, copied."""
    context = ctypes.c_void_p()
    ggml.gguf_init_from_file.argtypes = [ctypes.c_char_p, _InitParams]
    ggml.gguf_init_from_file.restype = ctypes.c_void_p
    _declare(ggml)
    params = _InitParams(no_alloc=False, context=ctypes.pointer(context))
    file = ggml.gguf_init_from_file(os.fsencode(path), params)
    if not file:
        raise _damaged(path, "its GGUF header can't be read")
    try:
        found = {}
        for index in range(ggml.gguf_get_n_tensors(file)):
            name = ggml.gguf_get_tensor_name(file, index)
            tensor = ggml.ggml_get_tensor(context, name)
            if tensor and ggml.gguf_get_tensor_type(file, index) == TYPE_F32:
                count = ggml.ggml_nelements(tensor)
                found[name.decode("utf-8", "replace")] = array.array(
                    "f", ctypes.string_at(ggml.ggml_get_data(tensor), 4 * count)
                )
        return found
    finally:
        ggml.gguf_free(file)
        ggml.ggml_free(context)


def _declare(ggml: Any) -> None:
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    for name, result, arguments in (
        ("gguf_get_n_tensors", number, [pointer]),
        ("gguf_get_tensor_name", ctypes.c_char_p, [pointer, number]),
        ("gguf_get_tensor_type", ctypes.c_int, [pointer, number]),
        ("gguf_free", None, [pointer]),
        ("ggml_get_tensor", pointer, [pointer, ctypes.c_char_p]),
        ("ggml_nelements", number, [pointer]),
        ("ggml_get_data", pointer, [pointer]),
        ("ggml_free", None, [pointer]),
    ):
        function = getattr(ggml, name)
        function.restype, function.argtypes = result, arguments


def _read_binary(stream: BinaryIO, path: Path) -> Importance:
    """Read the older form: a count, then for each entry name length, name, calls, number of values and values."""
    (count,) = struct.unpack("<i", _exactly(stream, 4, path))
    if not 0 < count <= MAX_ENTRIES:
        raise _damaged(path, f"it claims {count} entries")
    result: Importance = {}
    for _ in range(count):
        (name_bytes,) = struct.unpack("<i", _exactly(stream, 4, path))
        if not 0 < name_bytes <= MAX_NAME_BYTES:
            raise _damaged(path, f"it claims a name of {name_bytes} bytes")
        name = _exactly(stream, name_bytes, path).decode("utf-8", "replace")
        calls, num_values = struct.unpack("<ii", _exactly(stream, 8, path))
        if num_values <= 0:
            raise _damaged(path, f"{name} claims {num_values} values")
        values = array.array("f", _exactly(stream, 4 * num_values, path))
        result[name] = array.array("f", (value / calls for value in values)) if calls > 0 else values
    return result


def _exactly(stream: BinaryIO, size_bytes: int, path: Path) -> bytes:
    """Read ``size_bytes``, a length from the file, in pieces, so that a wrong one takes no memory."""
    pieces, missing = [], size_bytes
    while missing:
        piece = stream.read(min(missing, 1 << 20))
        if not piece:
            raise _damaged(path, "it ends too early")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)
