"""Parses the header of a GGUF file: metadata and tensor table, with every length checked against the file.

Layout (ggml's docs/gguf.md): magic, version, counts, key-value pairs, tensor infos, padding to ``general.alignment``,
then tensor data. Arrays are kept as their raw bytes and a count: a vocabulary of 150,000 strings is never a list.
What ggml's own parser (gguf.cpp, ``gguf_init_from_reader``) refuses is refused here, before a file is packed.
"""

from __future__ import annotations

import itertools
import operator
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from packer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT_BYTES = 32
MAX_ALIGNMENT_BYTES = 65536  # A packed model stands at a multiple of this in its file.
MAX_HEADER_BYTES = 256 * 1024 * 1024
MAX_STRING_BYTES = 64 * 1024 * 1024
MAX_KEY_BYTES = 65535
MAX_TENSOR_NAME_BYTES = 63
MAX_PAIRS = 65536
MAX_TENSORS = 131072
MAX_DIMENSIONS = 4
MAX_DIMENSION = 2**63 - 1
MAX_SHOWN = 80
WINDOW_BYTES = 256 * 1024

LENGTH = struct.Struct("<Q")
UINT32, STRING, ARRAY = 4, 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True, kw_only=True)
class ArrayValue:
    """A metadata array: the type of its elements, how many, and nothing of their content."""

    element_type: int
    count: int


@dataclass(frozen=True, kw_only=True)
class MetadataPair:
    """One key-value pair; ``kind`` is the type of the value, ``raw`` the pair as it stands in the file."""

    key: str
    kind: int
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
    """Reads forward through a file, a window of it in memory at a time, and refuses to pass its end."""

    def __init__(self, path: Path, stream: BinaryIO, size_bytes: int) -> None:
        self.path = path
        self.position = 0
        self._stream = stream
        self._size_bytes = size_bytes
        self._window = b""
        self._window_start = 0

    def read(self, count: int, what: str) -> bytes:
        start = self.position
        self.skip(count, what)
        first = start - self._window_start
        if first + count > len(self._window):
            self._window, self._window_start, first = self._load(start, max(count, WINDOW_BYTES)), start, 0
        content = self._window[first : first + count]
        if len(content) != count:
            raise self._changed()
        return content

    def skip(self, count: int, what: str) -> None:
        """Pass ``count`` bytes without reading them."""
        self._check(self.position + count, what)
        self.position += count

    def skip_strings(self, count: int, what: str) -> None:
        """Pass ``count`` strings, each a length and as many bytes; fast, for there are hundreds of thousands."""
        self._check(self.position + count * LENGTH.size, what)
        unpack, remaining = LENGTH.unpack_from, count
        while remaining:
            self.read(LENGTH.size, what)
            window, at = self._window, self.position - LENGTH.size - self._window_start
            last = len(window) - LENGTH.size
            while remaining and at <= last:
                at += LENGTH.size + unpack(window, at)[0]
                remaining -= 1
            self.position = self._window_start + at
            self._check(self.position, what)

    def since(self, start: int) -> bytes:
        """The bytes from ``start`` to here as they stand in the file."""
        content = self._load(start, self.position - start)
        if len(content) != self.position - start:
            raise self._changed()
        return content

    def scalar(self, code: str, what: str) -> Any:
        layout = f"<{code}"
        return struct.unpack(layout, self.read(struct.calcsize(layout), what))[0]

    def text(self, what: str) -> str:
        return self._string(what, MAX_STRING_BYTES).decode("utf-8", "replace")

    def name(self, what: str, limit_bytes: int) -> str:
        """A key or tensor name: short, printable, and the same again when it is encoded."""
        content = self._string(what, limit_bytes)
        try:
            name = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.broken(f"{what} is not UTF-8: {content[:MAX_SHOWN]!r}") from error
        if not name or not name.isprintable():
            raise self.broken(f"{what} is {name[:MAX_SHOWN]!r}")
        return name

    def broken(self, problem: str) -> InputError:
        return InputError(f"{self.path}: is not a sound GGUF file: {problem}; get the file again or convert it again")

    def _string(self, what: str, limit_bytes: int) -> bytes:
        length = self.scalar("Q", what)
        if length > limit_bytes:
            raise self.broken(f"{what} claims to be {length} bytes long, the most is {limit_bytes}")
        return self.read(length, what)

    def _load(self, start: int, count: int) -> bytes:
        self._stream.seek(start)
        return self._stream.read(count)

    def _check(self, end: int, what: str) -> None:
        if end > self._size_bytes:
            raise InputError(
                f"{self.path}: ends inside its header (reading {what} at byte {min(self.position, self._size_bytes)} "
                f"of {self._size_bytes}); the download is incomplete: get the file again"
            )
        if end > MAX_HEADER_BYTES:
            raise self.broken(f"its header goes on after {MAX_HEADER_BYTES} bytes (reading {what})")

    def _changed(self) -> InputError:
        return InputError(f"{self.path}: got shorter while it was read; is it still being written?")


def read_header(path: Path) -> GgufHeader:
    """Parse the header of ``path``. Raises InputError with one sentence that says what is wrong."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise InputError(f"{path}: is a directory; give the GGUF file inside it")
        if not stat.S_ISREG(kind):
            raise InputError(f"{path}: is a pipe or a device; give a GGUF file")
        with path.open("rb") as stream:
            size_bytes = stream.seek(0, 2)
            return _parse(path, _Cursor(path, stream, size_bytes), size_bytes)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{path}: the model can't be read: {reason}") from error


def _parse(path: Path, cursor: _Cursor, size_bytes: int) -> GgufHeader:
    _check_magic(path, size_bytes, cursor)
    version = cursor.scalar("I", "the version")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        hint = "it is big-endian" if swapped in VERSIONS else "version 2 or 3 is expected"
        raise InputError(f"{path}: is GGUF version {version}, which can't be used: {hint}; convert the model again")
    num_tensors, num_pairs = cursor.scalar("Q", "the tensor count"), cursor.scalar("Q", "the metadata count")
    if num_pairs > MAX_PAIRS or num_tensors > MAX_TENSORS:
        raise cursor.broken(f"it claims {num_pairs} metadata pairs and {num_tensors} tensors")
    pairs = tuple(_read_pair(cursor) for _ in range(num_pairs))
    tensors = tuple(_read_tensor(cursor) for _ in range(num_tensors))
    _check_unique(cursor, [pair.key for pair in pairs], "metadata key")
    _check_unique(cursor, [tensor.name for tensor in tensors], "tensor")
    alignment = _alignment(cursor, pairs)
    return GgufHeader(
        path=path,
        version=version,
        pairs=pairs,
        tensors=tensors,
        alignment_bytes=alignment,
        data_offset_bytes=-(-cursor.position // alignment) * alignment,
        size_bytes=size_bytes,
    )


def _alignment(cursor: _Cursor, pairs: tuple[MetadataPair, ...]) -> int:
    pair = next((pair for pair in pairs if pair.key == "general.alignment"), None)
    if pair is None:
        return DEFAULT_ALIGNMENT_BYTES
    value = pair.value
    if type(value) is not int or not 0 < value <= MAX_ALIGNMENT_BYTES or value & (value - 1):
        raise cursor.broken(f"general.alignment is {value!r}, expected a power of two up to {MAX_ALIGNMENT_BYTES}")
    if pair.kind != UINT32:
        raise cursor.broken(f"general.alignment is a value of type {pair.kind}, expected {UINT32} (uint32)")
    return value


WEB_PAGE = "a web page: the download gave an error page instead of the model"
PROGRAM = "a program; packer inspect shows what a packed file holds"
OLD_GGML = "a GGML file from before GGUF; convert it again"
PICKLE_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")
LOOKALIKES = (
    (b"pk\x03\x04", "a ZIP archive (a PyTorch checkpoint, perhaps)"),
    (b"<!doctype", WEB_PAGE),
    (b"<html", WEB_PAGE),
    (b"<?xml", WEB_PAGE),
    (b"version https://git-lfs", "a git-lfs pointer: run git lfs pull to get the model"),
    (b"\x7felf", PROGRAM),
    (b"mz", PROGRAM),
    (b"tjgg", OLD_GGML),
    (b"lmgg", OLD_GGML),
)


def _check_magic(path: Path, size_bytes: int, cursor: _Cursor) -> None:
    if size_bytes == 0:
        raise InputError(f"{path}: is empty; get the model again")
    start = cursor.read(min(64, size_bytes), "the magic")
    if start.startswith(MAGIC):
        cursor.position = len(MAGIC)
        return
    lowered = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    looks = next((words for magic, words in LOOKALIKES if lowered.startswith(magic)), None)
    if looks is None and start[:1] == b"\x80" and start[1:2] in PICKLE_PROTOCOLS:
        looks = "a Python pickle (a PyTorch checkpoint, perhaps)"
    if looks is None and start[8:9] == b"{":
        looks = "a safetensors file; convert it with llama.cpp's convert_hf_to_gguf.py"
    raise InputError(
        f"{path}: is not a GGUF model"
        + (f" but {looks}" if looks else f"; it starts with {start[:8].decode('latin-1')!r}")
    )


def _read_pair(cursor: _Cursor) -> MetadataPair:
    start = cursor.position
    key = cursor.name("a metadata key", MAX_KEY_BYTES)
    what = key[:MAX_SHOWN]
    kind = cursor.scalar("I", f"the type of {what}")
    value = _read_array(cursor, what) if kind == ARRAY else _read_value(cursor, kind, what)
    return MetadataPair(key=key, kind=kind, value=value, raw=cursor.since(start))


def _read_value(cursor: _Cursor, kind: int, key: str) -> Any:
    if kind in SCALARS:
        return cursor.scalar(SCALARS[kind], key)
    if kind == STRING:
        return cursor.text(key)
    raise cursor.broken(f"{key} has the unknown value type {kind}")


def _read_array(cursor: _Cursor, key: str) -> ArrayValue:
    element, count = cursor.scalar("I", key), cursor.scalar("Q", key)
    if element == STRING:
        cursor.skip_strings(count, key)
    elif element in SCALARS:
        cursor.skip(count * struct.calcsize(f"<{SCALARS[element]}"), key)
    else:
        raise cursor.broken(f"{key} is an array of the value type {element}, which ggml does not read")
    return ArrayValue(element_type=element, count=count)


def _read_tensor(cursor: _Cursor) -> TensorInfo:
    name = cursor.name("a tensor name", MAX_TENSOR_NAME_BYTES)
    num_dimensions = cursor.scalar("I", name)
    if num_dimensions > MAX_DIMENSIONS:
        raise cursor.broken(f"tensor {name} has {num_dimensions} dimensions, the most is {MAX_DIMENSIONS}")
    shape = tuple(cursor.scalar("Q", name) for _ in range(num_dimensions)) or (1,)
    # As ggml does: no step of the product may overflow, even when a later dimension is zero.
    if max(shape) > MAX_DIMENSION or any(size > MAX_DIMENSION for size in itertools.accumulate(shape, operator.mul)):
        raise cursor.broken(f"tensor {name} has the shape {shape}")
    return TensorInfo(name=name, shape=shape, type_id=cursor.scalar("I", name), offset_bytes=cursor.scalar("Q", name))


def _check_unique(cursor: _Cursor, names: list[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise cursor.broken(f"the {what} {name[:MAX_SHOWN]} stands in it twice")
        seen.add(name)
