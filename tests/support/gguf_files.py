"""GGUF files made byte by byte for tests: sound ones, broken ones, and the parts that llama.cpp's gguf-split writes.

Nothing here uses packer's own reader, so that a mistake in it can't hide.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from packer.gguf import ModelSource

UINT8, INT8, UINT16, INT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64, INT64, FLOAT64 = range(13)
CODES = {
    UINT8: "B",
    INT8: "b",
    UINT16: "H",
    INT16: "h",
    UINT32: "I",
    INT32: "i",
    FLOAT32: "f",
    BOOL: "?",
    UINT64: "Q",
    INT64: "q",
    FLOAT64: "d",
}
F32, F16, Q4_0, Q8_0, Q4_K, Q2_0 = 0, 1, 2, 8, 12, 42


def text(content: str | bytes) -> bytes:
    """A GGUF string: its length in bytes, then the bytes."""
    content = content.encode() if isinstance(content, str) else content
    return struct.pack("<Q", len(content)) + content


def pair(key: str | bytes, kind: int, value: Any) -> bytes:
    """One metadata pair."""
    return (
        text(key) + struct.pack("<I", kind) + (text(value) if kind == STRING else struct.pack(f"<{CODES[kind]}", value))
    )


def array(key: str, kind: int, values: Sequence[Any], count: int | None = None) -> bytes:
    """One metadata pair that is an array; ``count`` is what it claims to hold, when that is not the truth."""
    content = b"".join(text(item) if kind == STRING else struct.pack(f"<{CODES[kind]}", item) for item in values)
    return text(key) + struct.pack("<IIQ", ARRAY, kind, len(values) if count is None else count) + content


@dataclass(frozen=True)
class Tensor:
    """A tensor of a made file: where its data lies follows from those before it unless ``offset`` says otherwise."""

    name: str | bytes = "token_embd.weight"
    shape: tuple[int, ...] = (32, 4)
    type_id: int = F32
    data: bytes = bytes(range(256)) * 2
    offset: int | None = None


BASICS = (
    pair("general.architecture", STRING, "llama"),
    pair("general.name", STRING, "Hand made"),
    pair("general.file_type", UINT32, 1),
    pair("llama.context_length", UINT32, 4096),
    pair("llama.block_count", UINT32, 12),
    array("tokenizer.ggml.tokens", STRING, ["<unk>", "hello", "wörld"]),
    array("tokenizer.ggml.scores", FLOAT32, [0.0, -1.0, -2.0]),
    pair("tokenizer.chat_template", STRING, "{{ messages }}"),
)
TENSORS = (Tensor(), Tensor(name="output_norm.weight", shape=(30,), data=b"\1" * 120))


def model_bytes(
    pairs: Sequence[bytes] = BASICS,
    tensors: Sequence[Tensor] = TENSORS,
    *,
    version: int = 3,
    alignment: int = 32,
    num_pairs: int | None = None,
    num_tensors: int | None = None,
) -> bytes:
    """A whole file; ``num_pairs`` and ``num_tensors`` are what its header claims, when that is not the truth."""
    count = len(pairs) if num_pairs is None else num_pairs
    header = b"GGUF" + struct.pack("<IQQ", version, len(tensors) if num_tensors is None else num_tensors, count)
    infos, data = b"", b""
    for tensor in tensors:
        offset = len(data) if tensor.offset is None else tensor.offset
        infos += text(tensor.name) + struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        infos += struct.pack("<IQ", tensor.type_id, offset)
        data += tensor.data + bytes(-len(tensor.data) % alignment)
    start = header + b"".join(pairs) + infos
    return start + bytes(-len(start) % alignment) + data


def header_bytes(pairs: Sequence[bytes] = BASICS, tensors: Sequence[Tensor] = TENSORS) -> int:
    """Size of everything before the padding in front of the tensor data."""
    return len(model_bytes(pairs, [Tensor(item.name, item.shape, item.type_id, b"") for item in tensors], alignment=1))


def part_path(directory: Path, stem: str, number: int, count: int) -> Path:
    """Where part ``number`` (from 1) lies: ``llama_split_path`` of llama.cpp."""
    return directory / f"{stem}-{number:05}-of-{count:05}.gguf"


def split_pairs(number: int, count: int, num_tensors: int) -> list[bytes]:
    """The three pairs that gguf-split adds; ``number`` counts from 0."""
    return [
        pair("split.no", UINT16, number),
        pair("split.count", UINT16, count),
        pair("split.tensors.count", INT32, num_tensors),
    ]


def split_model(path: Path, directory: Path, count: int, *, first_without_tensors: bool = False) -> list[Path]:
    """Split the model at ``path`` as gguf-split does: all metadata in the first part, some tensors in each."""
    import gguf

    reader = gguf.GGUFReader(path)
    fields = [field for field in reader.fields.values() if not field.name.startswith("GGUF.")]
    metadata = [b"".join(part.tobytes() for part in field.parts) for field in fields]
    tensors = [
        Tensor(item.name, tuple(int(size) for size in item.shape), int(item.tensor_type), item.data.tobytes())
        for item in reader.tensors
    ]
    holders = count - 1 if first_without_tensors else count
    each = -(-len(tensors) // holders)
    groups = [tensors[start : start + each] for start in range(0, len(tensors), each)]
    groups = [[], *groups] if first_without_tensors else groups
    paths = []
    for number, group in enumerate(groups):
        pairs = (metadata if number == 0 else []) + split_pairs(number, count, len(tensors))
        paths.append(part_path(directory, path.stem, number + 1, count))
        paths[-1].write_bytes(model_bytes(pairs, group))
    return paths


def written_bytes(source: ModelSource) -> bytes:
    """The model that ``source`` describes, as a packed file holds it."""
    content = bytearray(source.header)
    for segment in source.segments:
        with segment.path.open("rb") as stream:
            stream.seek(segment.offset_bytes)
            content += stream.read(segment.size_bytes) + bytes(segment.pad_after_bytes)
    return bytes(content)
