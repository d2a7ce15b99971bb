"""Shards: finds all the parts of a split model and plans the single file they make.

llama.cpp's gguf-split writes ``name-00001-of-00003.gguf``; the first part has all metadata, each part its own
tensors. The merged file is a new header (``split.*`` keys dropped, offsets counted anew) followed by ranges of the
parts, so nothing has to be copied twice.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.container.writer import Segment
from packer.errors import InputError
from packer.gguf.header import MAGIC, GgufHeader, TensorInfo, read_header

if TYPE_CHECKING:
    from pathlib import Path

SHARD_NAME = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.gguf$", re.DOTALL)
MAX_SHARDS = 9999


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """What a packed model is made of: ``header``, new bytes (none for a single file), then ``segments`` of files."""

    header: bytes
    segments: tuple[Segment, ...]

    @property
    def size_bytes(self) -> int:
        """Size of the whole model."""
        return len(self.header) + sum(part.size_bytes + part.pad_after_bytes for part in self.segments)


def find_shards(path: Path) -> list[Path]:
    """Return all parts of the model that ``path`` belongs to, in order; just ``path`` when it is not split."""
    match = SHARD_NAME.match(path.name)
    if match is None:
        return [path]
    count = int(match["count"])
    if not 1 <= count <= MAX_SHARDS or not 1 <= int(match["index"]) <= count:
        raise InputError(f"{path}: its name says part {match['index']} of {match['count']}, which can't be")
    if not path.exists():
        raise InputError(f"{path}: the model can't be read: no such file")
    paths = [path.with_name(f"{match['stem']}-{index:05}-of-{count:05}.gguf") for index in range(1, count + 1)]
    missing = [part.name for part in paths if not part.exists()]
    if missing:
        raise InputError(f"{path}: {len(missing)} of its {count} parts are missing beside it: {', '.join(missing[:5])}")
    return paths


def model_source(path: Path) -> ModelSource:
    """Plan the bytes of the model at ``path``, merging its shards. Raises InputError."""
    paths = find_shards(path)
    if len(paths) == 1:
        size_bytes = paths[0].stat().st_size
        return ModelSource(header=b"", segments=(Segment(path=path, offset_bytes=0, size_bytes=size_bytes),))
    return _merge([read_header(shard) for shard in paths])


def _merge(headers: list[GgufHeader]) -> ModelSource:
    first = headers[0]
    _check_parts(headers)
    alignment = first.alignment_bytes
    infos: list[bytes] = []
    segments: list[Segment] = []
    offset = 0
    for header in headers:
        for tensor, size_bytes in _with_sizes(header):
            infos.append(_pack_info(tensor, offset))
            padding = -size_bytes % alignment
            start = header.data_offset_bytes + tensor.offset_bytes
            segments.append(
                Segment(path=header.path, offset_bytes=start, size_bytes=size_bytes, pad_after_bytes=padding)
            )
            offset += size_bytes + padding
    pairs = [pair.raw for pair in first.pairs if not pair.key.startswith("split.")]
    start = MAGIC + struct.pack("<IQQ", first.version, len(infos), len(pairs)) + b"".join(pairs) + b"".join(infos)
    return ModelSource(header=start + bytes(-len(start) % alignment), segments=tuple(segments))


def _check_parts(headers: list[GgufHeader]) -> None:
    names: set[str] = set()
    for index, header in enumerate(headers):
        count, number = header.get("split.count"), header.get("split.no")
        if count != len(headers) or number != index:
            raise InputError(
                f"{header.path}: says it is part {number} (from 0) of {count}, expected part {index} of {len(headers)}"
            )
        if header.alignment_bytes != headers[0].alignment_bytes:
            raise InputError(f"{header.path}: has another alignment than the first part; the parts don't belong together")
        for tensor in header.tensors:
            if tensor.name in names:
                raise InputError(f"{header.path}: tensor {tensor.name} is in another part too; they don't belong together")
            names.add(tensor.name)
    expected = headers[0].get("split.tensors.count", len(names))
    if expected != len(names):
        raise InputError(f"{headers[0].path}: says the parts hold {expected} tensors and they hold {len(names)}")


def _with_sizes(header: GgufHeader) -> list[tuple[TensorInfo, int]]:
    from packer.gguf.inspection import tensor_bytes

    return [(tensor, tensor_bytes(header, tensor)) for tensor in header.tensors]


def _pack_info(tensor: TensorInfo, offset: int) -> bytes:
    name = tensor.name.encode()
    dimensions = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
    return struct.pack("<Q", len(name)) + name + dimensions + struct.pack("<IQ", tensor.type_id, offset)
