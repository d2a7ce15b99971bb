"""Says what a LoRA adapter in a GGUF file is and refuses, in one sentence, one that does not fit its model.

What is checked is what llama.cpp checks when it loads one (``src/llama-adapter.cpp``), so that a packed file never
fails for its adapter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import InputError
from packer.gguf.header import TensorInfo, read_header
from packer.gguf.inspection import check_tensors
from packer.gguf.shards import check_all, find_shards

if TYPE_CHECKING:
    from pathlib import Path

    from packer.gguf.header import GgufHeader

A, B = ".lora_a", ".lora_b"
IGNORED = "_norm.weight"


@dataclass(frozen=True, kw_only=True)
class AdapterInfo:
    """What an adapter is; ``rank`` of its largest pair, size in bytes."""

    name: str
    architecture: str
    rank: int
    num_tensors: int
    size_bytes: int


def inspect_adapter(path: Path, model: Path) -> AdapterInfo:
    """Describe the adapter at ``path`` for the model at ``model``. Raises InputError when it can't be used with it."""
    header = read_header(path)
    parts = check_all(read_header, find_shards(model))
    _check_kind(header, parts[0])
    check_tensors(header)
    shapes = {tensor.name: tensor.shape for part in parts for tensor in part.tensors}
    tensors = {tensor.name: tensor for tensor in header.tensors if not tensor.name.endswith(IGNORED)}
    ranks = [_check_pair(path, name, tensors, shapes) for name in tensors if name.endswith(A)]
    for name in tensors:
        if not name.endswith((A, B)):
            raise InputError(
                f"{path}: tensor {name} is no part of a LoRA adapter; convert it with convert_lora_to_gguf.py"
            )
        if name.endswith(B) and name.removesuffix(B) + A not in tensors:
            raise InputError(f"{path}: tensor {name} lacks its {A}; convert the adapter again")
    if not ranks:
        raise InputError(f"{path}: holds no adapted tensors; convert the adapter again")
    name = header.get("general.name", "")
    return AdapterInfo(
        name=name if isinstance(name, str) and name.isprintable() and name else path.name.removesuffix(".gguf"),
        architecture=str(header.get("general.architecture")),
        rank=max(ranks),
        num_tensors=len(header.tensors),
        size_bytes=header.size_bytes,
    )


def _check_kind(header: GgufHeader, model: GgufHeader) -> None:
    path = header.path
    if header.get("general.type") != "adapter":
        raise InputError(
            f"{path}: is no adapter (general.type is {header.get('general.type') or 'not set'!s:.60}); give a LoRA GGUF"
        )
    if header.get("adapter.type") != "lora":
        raise InputError(
            f"{path}: is an adapter of the type {header.get('adapter.type')!r:.60}; only lora can be packed"
        )
    if header.get("adapter.alora.invocation_tokens") is not None:
        raise InputError(f"{path}: is an adapter that certain tokens switch on (aLoRA), which is not supported")
    ours, theirs = header.get("general.architecture"), model.get("general.architecture")
    if ours != theirs:
        raise InputError(
            f"{path}: was trained for the architecture {ours!r:.60}, and {model.path.name} is {theirs!r:.60}"
        )


def _check_pair(path: Path, name: str, tensors: dict[str, TensorInfo], shapes: dict[str, tuple[int, ...]]) -> int:
    """Check one pair of matrices against the tensor that they change; return its rank."""
    target = name.removesuffix(A)
    first, second, shape = tensors[name], tensors.get(target + B), shapes.get(target)
    if second is None:
        raise InputError(f"{path}: tensor {name} lacks its {B}; convert the adapter again")
    if shape is None:
        raise InputError(
            f"{path}: changes the tensor {target}, which the model does not have; is it for another model?"
        )
    a, b, wanted = (_matrix(one) for one in (first.shape, second.shape, shape))
    # The adapter of the token embeddings stands the other way round (llama-adapter.cpp, is_token_embd).
    found = (b[1], a[1]) if target.endswith("token_embd.weight") else (a[0], b[1])
    if found != wanted or (a[1] != b[0] and not target.endswith("token_embd.weight")):
        raise InputError(
            f"{path}: changes {target} of {found[0]} x {found[1]}, and the model's has {wanted[0]} x {wanted[1]}; "
            "is it for another model?"
        )
    return b[0]


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    return (*shape, 1, 1)[0], (*shape, 1, 1)[1]
