"""Calls libpacker-images (``packer/image_library``): a picture file in, rows for the language model out.

The projector is read from where it stands in the packed file. Its weights are copied into memory or to a device, as
llama.cpp's multimodal library does it; nothing is written to disk.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packer.errors import InputError, MachineError
from runtime.llama import native
from runtime.llama.library import library_directory

if TYPE_CHECKING:
    from runtime.llama.model import Model, ModelFile

LIBRARY_NAME = "packer-images"
ABI_VERSION = 2
ERROR_BYTES = 1024


class _Piece(ctypes.Structure):
    _fields_ = (
        ("tokens", ctypes.POINTER(ctypes.c_int32)),
        ("rows", ctypes.POINTER(ctypes.c_float)),
        ("num_tokens", ctypes.c_int32),
        ("num_positions", ctypes.c_int32),
        ("row_size", ctypes.c_int32),
        ("is_non_causal", ctypes.c_int32),
    )


_POINTER, _TEXT, _SIZE, _INT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int32
_BYTES = ctypes.c_uint64
FUNCTIONS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "packer_images_abi_version": ((), _INT),
    "packer_images_measure": ((_TEXT, _BYTES, *[ctypes.POINTER(_BYTES)] * 2, _TEXT, _SIZE), _INT),
    "packer_images_open": ((_TEXT, _BYTES, _POINTER, _POINTER, _INT, _TEXT, _SIZE), _POINTER),
    "packer_images_uses_mrope": ((_POINTER,), _INT),
    "packer_images_on_device": ((_POINTER,), _INT),
    "packer_images_close": ((_POINTER,), None),
    "packer_picture_read": ((_POINTER, _TEXT, _SIZE, _TEXT, _SIZE), _POINTER),
    "packer_picture_num_pieces": ((_POINTER,), _INT),
    "packer_picture_piece": ((_POINTER, _INT, ctypes.POINTER(_Piece)), None),
    "packer_picture_positions": ((_POINTER, _INT, _INT, ctypes.POINTER(_INT)), None),
    "packer_picture_close": ((_POINTER,), None),
}


@dataclass(frozen=True, kw_only=True)
class ProjectorSizes:
    """What a projector takes of memory: its weights, and what a picture of usual size is computed in."""

    weights_bytes: int
    compute_bytes: int


@dataclass(frozen=True, kw_only=True)
class PictureRows:
    """Rows of a picture, ``(num_tokens, row_size)`` floats at ``address``; valid as long as ``picture`` is kept."""

    picture: Picture
    index: int
    address: int
    num_tokens: int
    num_positions: int
    row_size: int
    is_non_causal: bool

    def pointer(self, first_row: int) -> Any:
        """Return a ``float *`` to the rows from ``first_row`` on."""
        start = self.address + first_row * self.row_size * ctypes.sizeof(ctypes.c_float)
        return ctypes.cast(start, ctypes.POINTER(ctypes.c_float))

    def positions(self, first: int) -> list[list[int]]:
        """Return what ``llama_batch`` wants as positions when the first is ``first``: one list for each dimension."""
        count = self.num_tokens
        if not self.picture.uses_mrope:
            return [list(range(first, first + count))]
        found = (ctypes.c_int32 * (4 * count))()
        self.picture.api.packer_picture_positions(self.picture.pointer, self.index, first, found)
        return [list(found[start : start + count]) for start in range(0, 4 * count, count)]


class Picture:
    """A picture that went through the projector; freed with this object. Its pieces are tokens or rows, in order."""

    def __init__(self, api: Any, pointer: int, *, uses_mrope: bool) -> None:
        """Take over the pointer."""
        self.api, self.pointer, self.uses_mrope = api, pointer, uses_mrope
        weakref.finalize(self, api.packer_picture_close, pointer)

    def pieces(self) -> list[list[int] | PictureRows]:
        """Return tokens of the model's vocabulary, or rows, in their order."""
        return [self._piece(index) for index in range(self.api.packer_picture_num_pieces(self.pointer))]

    @property
    def size_bytes(self) -> int:
        """Memory that the rows take."""
        return sum(4 * one.num_tokens * one.row_size for one in self.pieces() if isinstance(one, PictureRows))

    def _piece(self, index: int) -> list[int] | PictureRows:
        piece = _Piece()
        self.api.packer_picture_piece(self.pointer, index, ctypes.byref(piece))
        if not piece.rows:
            tokens: list[int] = piece.tokens[: piece.num_tokens]
            return tokens
        return PictureRows(
            picture=self,
            index=index,
            address=ctypes.cast(piece.rows, ctypes.c_void_p).value or 0,
            num_tokens=piece.num_tokens,
            num_positions=piece.num_positions,
            row_size=piece.row_size,
            is_non_causal=bool(piece.is_non_causal),
        )


class Projector:
    """A loaded projector. Close it before its model; :meth:`read` may be called from any thread."""

    def __init__(self, model: Model, file: ModelFile, *, num_threads: int, device: int | None = None) -> None:
        """Load it on ``device`` (ggml's pointer), without one on the CPU.

        Raises InputError when it does not fit the model or the device, MachineError without the library.
        """
        self._lock = threading.Lock()
        self._api = _load()
        error = ctypes.create_string_buffer(ERROR_BYTES)
        self._pointer = self._api.packer_images_open(
            os.fsencode(file.path), file.offset_bytes or 0, model.pointer, device, num_threads, error, ERROR_BYTES
        )
        if not self._pointer:
            raise _unusable(file, error)
        self._uses_mrope = bool(self._api.packer_images_uses_mrope(self._pointer))

    @property
    def on_device(self) -> bool:
        """Whether a device reads the pictures; one that fails and does not start again is left."""
        with self._lock:
            return bool(self._pointer and self._api.packer_images_on_device(self._pointer))

    def read(self, content: bytes) -> Picture:
        """Decode a picture file and run it through the projector, one at a time. Raises InputError with the reason."""
        error = ctypes.create_string_buffer(ERROR_BYTES)
        with self._lock:
            if not self._pointer:
                raise MachineError("the program is shutting down")
            pointer = self._api.packer_picture_read(self._pointer, content, len(content), error, ERROR_BYTES)
        if not pointer:
            raise InputError(f"the picture can't be read: {_reason(error)}")
        return Picture(self._api, pointer, uses_mrope=self._uses_mrope)

    def close(self) -> None:
        """Free it, once no picture is being read."""
        with self._lock:
            if self._pointer:
                self._api.packer_images_close(self._pointer)
                self._pointer = None


def measure_projector(file: ModelFile) -> ProjectorSizes:
    """Measure a projector without reading its weights or asking a driver.

    Raises InputError when it is none, MachineError without the library.
    """
    error = ctypes.create_string_buffer(ERROR_BYTES)
    weights, compute = _BYTES(), _BYTES()
    place = (os.fsencode(file.path), file.offset_bytes or 0)
    if not _load().packer_images_measure(*place, ctypes.byref(weights), ctypes.byref(compute), error, ERROR_BYTES):
        raise _unusable(file, error)
    return ProjectorSizes(weights_bytes=weights.value, compute_bytes=compute.value)


def _load() -> Any:
    path = library_directory() / native.library_name(LIBRARY_NAME)
    try:
        api = ctypes.CDLL(str(path))
        for name, (arguments, result) in FUNCTIONS.items():
            function = getattr(api, name)
            function.argtypes, function.restype = arguments, result
    except (OSError, AttributeError) as error:
        raise MachineError(f"{path}: can't be loaded ({error}); delete the unpacked copy and start again") from error
    version = api.packer_images_abi_version()
    if version != ABI_VERSION:
        raise MachineError(f"{path}: expected version {ABI_VERSION} of its interface, found {version}")
    return api


def _unusable(file: ModelFile, error: Any) -> InputError:
    return InputError(f"{file.path}: the projector can't be used ({_reason(error)})")


def _reason(error: Any) -> str:
    return " ".join(error.value.decode("utf-8", "replace").split())
