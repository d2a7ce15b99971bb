"""Shards: finds all the parts of a split model and plans the single file they make.

llama.cpp's gguf-split writes ``name-00001-of-00003.gguf``; the first part has all metadata, each part its own
tensors. The merged file is a new header (``split.*`` keys dropped, offsets counted anew) followed by ranges of the
parts, so nothing has to be copied twice.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from packer.container.writer import Segment
from packer.errors import InputError
from packer.gguf.header import MAGIC, GgufHeader, TensorInfo, read_header
from packer.gguf.tensor_types import tensor_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

Part = TypeVar("Part")
Result = TypeVar("Result")

SHARD_NAME = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.gguf", re.ASCII | re.DOTALL)
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
    match = SHARD_NAME.fullmatch(path.name)
    if match is None:
        return [path]
    count = int(match["count"])
    if not 1 <= count <= MAX_SHARDS or not 1 <= int(match["index"]) <= count:
        raise InputError(f"{path}: its name says part {match['index']} of {match['count']}, which can't be")
    if not os.path.lexists(path):
        raise InputError(f"{path}: the model can't be read: no such file")
    paths = [path.with_name(f"{match['stem']}-{index:05}-of-{count:05}.gguf") for index in range(1, count + 1)]
    if missing := [part.name for part in paths if not os.path.lexists(part)]:
        raise InputError(f"{path}: {len(missing)} of its {count} parts are missing beside it: {', '.join(missing[:5])}")
    return paths


def name_stem(path: Path) -> str:
    """The file name without ``.gguf`` and without the part's number."""
    match = SHARD_NAME.fullmatch(path.name)
    return match["stem"] if match else path.name.removesuffix(".gguf")


def model_source(path: Path) -> ModelSource:
    """Plan the bytes of the model at ``path``, merging its shards. Raises InputError."""
    paths = find_shards(path)
    if len(paths) == 1:
        size_bytes = read_header(path).size_bytes
        return ModelSource(header=b"", segments=(Segment(path=path, offset_bytes=0, size_bytes=size_bytes),))
    return _merge(check_all(read_header, paths))


def check_all(check: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """Apply ``check`` to every part; raise one InputError with a line for each part that it refuses."""
    results, problems = [], []
    for part in parts:
        try:
            results.append(check(part))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return results


def _merge(headers: list[GgufHeader]) -> ModelSource:
    first = headers[0]
    check_parts(headers)
    alignment = first.alignment_bytes
    infos: list[bytes] = []
    segments: list[Segment] = []
    offset = 0
    for header, tensor in [(part, tensor) for part in headers for tensor in part.tensors]:
        size_bytes = tensor_bytes(header, tensor)
        padding = -size_bytes % alignment
        infos.append(_pack_info(tensor, offset))
        start = header.data_offset_bytes + tensor.offset_bytes
        segments.append(Segment(path=header.path, offset_bytes=start, size_bytes=size_bytes, pad_after_bytes=padding))
        offset += size_bytes + padding
    pairs = [pair.raw for pair in first.pairs if not pair.key.startswith("split.")]
    content = MAGIC + struct.pack("<IQQ", first.version, len(infos), len(pairs)) + b"".join(pairs) + b"".join(infos)
    return ModelSource(header=content + bytes(-len(content) % alignment), segments=tuple(segments))


def check_parts(headers: Sequence[GgufHeader]) -> None:
    """Check that ``headers`` are all the parts of one model, in order. Raises InputError.

    Alignments may differ: gguf-split writes ``general.alignment`` to the first part only.
    """
    names: set[str] = set()
    for index, header in enumerate(headers):
        _check_number(header, index, len(headers))
        for tensor in header.tensors:
            if tensor.name in names:
                raise InputError(
                    f"{header.path}: tensor {tensor.name} is in an earlier part too; the parts are mixed up"
                )
            names.add(tensor.name)
    expected = headers[0].get("split.tensors.count", len(names))
    if expected != len(names):
        raise InputError(
            f"{headers[0].path}: says that the parts hold {expected} tensors and they hold {len(names)}; "
            "get all the parts again"
        )


def _check_number(header: GgufHeader, index: int, expected: int) -> None:
    alone = 1 if expected == 1 else None
    count, number = header.get("split.count", alone), header.get("split.no", 0 if alone else None)
    if expected == 1 and count in (0, 1):
        return
    if type(count) is not int or type(number) is not int:
        raise InputError(f"{header.path}: does not say which part of a split model it is (split.no and split.count)")
    if expected == 1:
        raise InputError(
            f"{header.path}: is part {number + 1} of {count} and its name does not say so; "
            f"name the parts as llama.cpp does: model-00001-of-{count:05}.gguf"
        )
    if (count, number) != (expected, index):
        raise InputError(
            f"{header.path}: says that it is part {number + 1} of {count}, expected part {index + 1} of {expected}; "
            "the parts are mixed up: get them again"
        )


def _pack_info(tensor: TensorInfo, offset: int) -> bytes:
    name = tensor.name.encode()
    dimensions = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
    return struct.pack("<Q", len(name)) + name + dimensions + struct.pack("<IQ", tensor.type_id, offset)
