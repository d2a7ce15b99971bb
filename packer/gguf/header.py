"""Parses the header of a GGUF file: metadata and tensor table, with every length checked against the file.

Layout (ggml's docs/gguf.md): magic, version, counts, key-value pairs, tensor infos, padding to ``general.alignment``,
then tensor data. Arrays are kept as their raw bytes and a count: a vocabulary of 150,000 strings is never a list.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from packer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT_BYTES = 32
MAX_HEADER_BYTES = 256 * 1024 * 1024
MAX_STRING_BYTES = 64 * 1024 * 1024
MAX_DIMENSIONS = 4
MAX_NESTING = 4

STRING, ARRAY, UINT32 = 8, 9, 4
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True, kw_only=True)
class ArrayValue:
    """A metadata array: the type of its elements, how many, and nothing of their content."""

    element_type: int
    count: int


@dataclass(frozen=True, kw_only=True)
class MetadataPair:
    """One key-value pair; ``raw`` is the pair as it stands in the file."""

    key: str
    value: Any
    raw: bytes


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One tensor: ``shape`` innermost dimension first, ``offset_bytes`` from the start of the data section."""

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset_bytes: int


@dataclass(frozen=True, kw_only=True)
class GgufHeader:
    """Everything before the tensor data, and where that data starts in the file."""

    path: Path
    version: int
    pairs: tuple[MetadataPair, ...]
    tensors: tuple[TensorInfo, ...]
    alignment_bytes: int
    data_offset_bytes: int
    size_bytes: int

    def get(self, key: str, default: Any = None) -> Any:
        """Value of a metadata key."""
        return next((pair.value for pair in self.pairs if pair.key == key), default)


class _Cursor:
    """Reads forward through a file and refuses to pass its end; ``mark`` and ``since`` capture raw bytes."""

    def __init__(self, path: Path, stream: BinaryIO, size_bytes: int) -> None:
        self.path = path
        self.position = 0
        self._stream = stream
        self._limit = min(size_bytes, MAX_HEADER_BYTES)
        self._captured: bytearray | None = None

    def read(self, count: int, what: str) -> bytes:
        if count < 0 or count > self._limit - self.position:
            raise InputError(
                f"{self.path}: ends inside its header (reading {what} at byte {self.position}); "
                "the download is incomplete: get the file again"
            )
        content = self._stream.read(count)
        if len(content) != count:
            raise InputError(f"{self.path}: got shorter while it was read; is it still being written?")
        self.position += count
        if self._captured is not None:
            self._captured += content
        return content

    def scalar(self, code: str, what: str) -> Any:
        layout = f"<{code}"
        return struct.unpack(layout, self.read(struct.calcsize(layout), what))[0]

    def text(self, what: str) -> str:
        length = self.scalar("Q", what)
        if length > MAX_STRING_BYTES:
            raise self.broken(f"{what} claims to be {length} bytes long")
        return self.read(length, what).decode("utf-8", "replace")

    def capture(self) -> bytearray:
        self._captured = bytearray()
        return self._captured

    def broken(self, problem: str) -> InputError:
        return InputError(f"{self.path}: is not a sound GGUF file: {problem}; get the file again or convert it again")


def read_header(path: Path) -> GgufHeader:
    """Parse the header of ``path``. Raises InputError with one sentence that says what is wrong."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a directory; give the GGUF file inside it")
        stream = path.open("rb")
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{path}: the model can't be read: {reason}") from error
    with stream:
        size_bytes = stream.seek(0, 2)
        stream.seek(0)
        return _parse(path, _Cursor(path, stream, size_bytes), size_bytes)


def _parse(path: Path, cursor: _Cursor, size_bytes: int) -> GgufHeader:
    _check_magic(path, size_bytes, cursor)
    version = cursor.scalar("I", "the version")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        hint = "it is big-endian" if swapped in VERSIONS else "version 2 or 3 is expected"
        raise InputError(f"{path}: is GGUF version {version}, which can't be used: {hint}; convert the model again")
    num_tensors, num_pairs = cursor.scalar("Q", "the tensor count"), cursor.scalar("Q", "the metadata count")
    if num_pairs * 13 > size_bytes or num_tensors * 24 > size_bytes:
        raise cursor.broken(f"it claims {num_pairs} metadata pairs and {num_tensors} tensors")
    pairs = tuple(_read_pair(cursor) for _ in range(num_pairs))
    tensors = tuple(_read_tensor(cursor) for _ in range(num_tensors))
    _check_unique(cursor, [pair.key for pair in pairs], "metadata key")
    _check_unique(cursor, [tensor.name for tensor in tensors], "tensor")
    alignment = next((pair.value for pair in pairs if pair.key == "general.alignment"), DEFAULT_ALIGNMENT_BYTES)
    if type(alignment) is not int or not 0 < alignment <= 65536 or alignment & (alignment - 1):
        raise cursor.broken(f"general.alignment is {alignment!r}, expected a power of two up to 65536")
    return GgufHeader(
        path=path,
        version=version,
        pairs=pairs,
        tensors=tensors,
        alignment_bytes=alignment,
        data_offset_bytes=-(-cursor.position // alignment) * alignment,
        size_bytes=size_bytes,
    )


LOOKALIKES = (
    (b"PK\x03\x04", "a ZIP archive (a PyTorch checkpoint, perhaps)"),
    (b"\x80\x02", "a Python pickle"),
    (b"<!DO", "a web page: the download gave an error page instead of the model"),
    (b"<htm", "a web page: the download gave an error page instead of the model"),
    (b"version https://git-lfs", "a git-lfs pointer: run git lfs pull to get the model"),
    (b"\x7fELF", "a program; packer inspect shows what a packed file holds"),
    (b"MZ", "a program; packer inspect shows what a packed file holds"),
    (b"ggjt", "a GGML file from before GGUF; convert it again"),
    (b"lmgg", "a GGML file from before GGUF; convert it again"),
)


def _check_magic(path: Path, size_bytes: int, cursor: _Cursor) -> None:
    if size_bytes == 0:
        raise InputError(f"{path}: is empty; get the model again")
    start = cursor.read(min(4, size_bytes), "the magic")
    if start == MAGIC:
        return
    with path.open("rb") as stream:
        start = stream.read(64)
    looks = next((words for magic, words in LOOKALIKES if start.startswith(magic)), None)
    if looks is None and start[8:10] == b'{"':
        looks = "a safetensors file; convert it with llama.cpp's convert_hf_to_gguf.py"
    raise InputError(f"{path}: is not a GGUF model" + (f" but {looks}" if looks else f"; it starts with {start[:8]!r}"))


def _read_pair(cursor: _Cursor) -> MetadataPair:
    raw = cursor.capture()
    key = cursor.text("a metadata key")
    kind = cursor.scalar("I", f"the type of {key}")
    return MetadataPair(key=key, value=_read_value(cursor, kind, key), raw=bytes(raw))


def _read_value(cursor: _Cursor, kind: int, key: str, depth: int = 0) -> Any:
    if kind in SCALARS:
        return cursor.scalar(SCALARS[kind], key)
    if kind == STRING:
        return cursor.text(key)
    if kind != ARRAY or depth >= MAX_NESTING:
        raise cursor.broken(f"{key} has the unknown value type {kind}")
    element, count = cursor.scalar("I", key), cursor.scalar("Q", key)
    if element in SCALARS:
        cursor.read(count * struct.calcsize(f"<{SCALARS[element]}"), key)
    else:
        for _ in range(count):
            _read_value(cursor, element, key, depth + 1)
    return ArrayValue(element_type=element, count=count)


def _read_tensor(cursor: _Cursor) -> TensorInfo:
    name = cursor.text("a tensor name")
    num_dimensions = cursor.scalar("I", name)
    if not 0 < num_dimensions <= MAX_DIMENSIONS:
        raise cursor.broken(f"tensor {name} has {num_dimensions} dimensions")
    shape = tuple(cursor.scalar("Q", name) for _ in range(num_dimensions))
    return TensorInfo(
        name=name, shape=shape, type_id=cursor.scalar("I", name), offset_bytes=cursor.scalar("Q", name)
    )


def _check_unique(cursor: _Cursor, names: list[str], what: str) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise cursor.broken(f"the {what} {twice} stands in it twice")
