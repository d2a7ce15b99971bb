"""Says what a GGUF model is and refuses, in one sentence, what could never chat."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import InputError
from packer.gguf.architectures import EMBEDDING_ARCHITECTURES, KNOWN_ARCHITECTURES
from packer.gguf.header import ArrayValue, GgufHeader, TensorInfo, read_header
from packer.gguf.shards import check_all, check_parts, find_shards, name_stem
from packer.gguf.tensor_types import FILE_TYPES, TENSOR_TYPES, tensor_bytes

if TYPE_CHECKING:
    from pathlib import Path


MAX_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a model is; sizes in bytes and tokens. Shards are described as the one model they make.

    ``use`` is ``chat``, or ``embeddings`` for a model that only turns texts into vectors.
    """

    name: str
    architecture: str
    use: str
    quantization: str
    num_parameters: int
    num_tensors: int
    context_length: int
    num_layers: int
    vocab_size: int
    has_chat_template: bool
    size_bytes: int
    split_count: int


def inspect_model(path: Path) -> ModelInfo:
    """Describe the model at ``path`` and all its shards. Raises InputError when it can't be packed."""
    paths = find_shards(path)
    headers = check_all(read_header, paths)
    check_parts(headers)
    first = headers[0]
    architecture = _check_kind(first, sum(len(header.tensors) for header in headers))
    check_all(check_tensors, headers)
    tensors = [tensor for header in headers for tensor in header.tensors]
    tokens = first.get("tokenizer.ggml.tokens")
    return ModelInfo(
        name=_shown(_text(first, "general.name")) or name_stem(path),
        architecture=architecture,
        use=_use(first, architecture),
        quantization=_quantization(first, tensors),
        num_parameters=sum(math.prod(tensor.shape) for tensor in tensors),
        num_tensors=len(tensors),
        context_length=_count(first, f"{architecture}.context_length"),
        num_layers=_count(first, f"{architecture}.block_count"),
        vocab_size=tokens.count if isinstance(tokens, ArrayValue) else 0,
        has_chat_template=bool(_text(first, "tokenizer.chat_template")),
        size_bytes=sum(header.size_bytes for header in headers),
        split_count=len(paths),
    )


def _check_kind(header: GgufHeader, num_tensors: int) -> str:
    """Return the architecture of a model that can chat. Raises InputError for every other kind of GGUF."""
    path, kind = header.path, _text(header, "general.type")
    architecture = _text(header, "general.architecture")
    if kind == "adapter":
        raise InputError(f"{path}: is a LoRA adapter, not a model; pack the model it was trained for")
    if kind == "mmproj" or architecture == "clip":
        raise InputError(f"{path}: is a projector (mmproj), not a model; pack the language model that it belongs to")
    if kind == "imatrix":
        raise InputError(f"{path}: is an importance matrix, not a model; pack the model that it was made for")
    if not architecture:
        raise InputError(f"{path}: does not say its architecture (general.architecture); convert the model again")
    if architecture not in KNOWN_ARCHITECTURES:
        architecture = architecture[:MAX_SHOWN]
        near = difflib.get_close_matches(architecture, KNOWN_ARCHITECTURES, n=1)
        hint = f"; the nearest known is {near[0]}" if near else ""
        raise InputError(f"{path}: has the architecture {architecture!r}, which this llama.cpp does not know{hint}")
    if num_tensors == 0:
        raise InputError(f"{path}: holds a vocabulary only, no weights; give the model itself")
    return architecture


def _use(header: GgufHeader, architecture: str) -> str:
    looks_both_ways = header.get(f"{architecture}.attention.causal", True) is False
    return "embeddings" if looks_both_ways or architecture in EMBEDDING_ARCHITECTURES else "chat"


def check_tensors(header: GgufHeader) -> None:
    """Check that the tensors lie one after the other inside the file, as ggml wants them. Raises InputError."""
    offset, end = 0, header.data_offset_bytes
    for tensor in header.tensors:
        if tensor.offset_bytes != offset:
            raise InputError(
                f"{header.path}: tensor {tensor.name} starts at byte {tensor.offset_bytes} of the data, "
                f"expected {offset}; convert the model again"
            )
        size_bytes = tensor_bytes(header, tensor)
        end = header.data_offset_bytes + offset + size_bytes
        offset += -(-size_bytes // header.alignment_bytes) * header.alignment_bytes
    if header.tensors and end > header.size_bytes:
        raise InputError(
            f"{header.path}: is cut short: its tensors need {end:,} bytes and it has {header.size_bytes:,}; "
            "the download is incomplete: get the file again"
        )


def _quantization(header: GgufHeader, tensors: list[TensorInfo]) -> str:
    """Name of the file type, such as ``Q4_K_M``; of the type most weights have where the file does not say."""
    file_type = header.get("general.file_type")
    if type(file_type) is int and file_type in FILE_TYPES:
        return FILE_TYPES[file_type]
    weights: Counter[int] = Counter()
    for tensor in tensors:
        weights[tensor.type_id] += math.prod(tensor.shape)
    return TENSOR_TYPES[weights.most_common(1)[0][0]].name


def _text(header: GgufHeader, key: str) -> str:
    value = header.get(key, "")
    return value if isinstance(value, str) else ""


def _count(header: GgufHeader, key: str) -> int:
    value = header.get(key, 0)
    return value if type(value) is int and value > 0 else 0


def _shown(text: str) -> str:
    """``text`` fit for a terminal: one line, printable, not endless."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:MAX_SHOWN]).split())
