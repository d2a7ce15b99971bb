"""How large the parts of a model are, from its GGUF header alone: what must be known before it is placed.

The header is read with ggml's own parser, at the model's offset in its file; no weights are touched (gguf.h).
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import InputError, MachineError
from runtime.llama import native
from runtime.llama.gguf_header import InitParams, find_key, integer_value, text_value
from runtime.llama.kv_types import KV_TYPES

if TYPE_CHECKING:
    from runtime.llama.library import Library
    from runtime.llama.model import ModelFile

LAYER = re.compile(r"blk\.(\d+)\.")
EXPERTS = re.compile(r"_(ch)?exps\.")
ARRAY_TYPE, INT32_TYPES = 9, (4, 5)
MAX_LAYERS = 4096
NO_QUANTIZED_CACHE = ("grok",)


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """Sizes in bytes. ``layers`` are those of each layer without its experts, ``experts`` those of its experts alone.

    ``output`` is what comes after the last layer. ``cache_per_token`` is the number of values that one token has in a
    layer's KV cache; it is an upper bound for models that keep less. ``width`` and ``feed_forward`` count values too.
    ``context_length`` is what the model was trained for, in tokens, 0 where it does not say. ``heads`` are the sizes
    of the keys and values of one attention head, none where the cache must not be quantized.
    """

    layers: tuple[int, ...]
    experts: tuple[int, ...]
    output: int
    cache_per_token: int
    width: int
    feed_forward: int
    context_length: int
    heads: tuple[int, ...] = (1,)

    @property
    def num_layers(self) -> int:
        """Layers that can be placed: the model's and the output."""
        return len(self.layers) + 1

    def can_have(self, kv_type: str) -> bool:
        """Whether the KV cache may have that format, which holds blocks of numbers."""
        block = KV_TYPES[kv_type].block_values
        return block == 1 or (bool(self.heads) and not any(size % block for size in self.heads))

    @property
    def has_experts(self) -> bool:
        """Whether it is a mixture of experts."""
        return any(self.experts)


def read_sizes(library: Library, file: ModelFile) -> ModelSizes:
    """Read the sizes of ``file``. Raises InputError or MachineError when it is no GGUF or can't be opened."""
    base, libc = library.base, library.libc
    base.gguf_init_from_file_ptr.argtypes = [ctypes.c_void_p, InitParams]
    base.gguf_init_from_file_ptr.restype = ctypes.c_void_p
    base.gguf_free.argtypes, base.gguf_free.restype = [ctypes.c_void_p], None
    libc.fclose.argtypes, libc.fclose.restype = [ctypes.c_void_p], ctypes.c_int
    stream = native.open_stream(libc, file.path)
    if not stream:
        raise MachineError(f"{file.path}: can't be opened; check the path and its permissions")
    try:
        handle = None
        if native.seek_stream(libc, stream, file.offset_bytes or 0):
            handle = base.gguf_init_from_file_ptr(stream, InitParams(no_alloc=True, ctx=None))
        if not handle:
            raise InputError(f"{file.path}: can't be read as a GGUF model{library.log.explain()}")
        try:
            return _sizes(base, handle)
        finally:
            base.gguf_free(handle)
    finally:
        libc.fclose(stream)


def _sizes(base: ctypes.CDLL, handle: int) -> ModelSizes:
    architecture = text_value(base, handle, "general.architecture")
    num_layers = min(integer_value(base, handle, f"{architecture}.block_count"), MAX_LAYERS)
    layers, experts, others = [0] * num_layers, [0] * num_layers, {}
    for name, size in _tensors(base, handle):
        layer = LAYER.match(name)
        if layer is None or int(layer[1]) >= num_layers:
            others[name] = size
        elif EXPERTS.search(name):
            experts[int(layer[1])] += size
        else:
            layers[int(layer[1])] += size
    embedding = others.pop("token_embd.weight", 0)
    output = sum(size for name, size in others.items() if name.startswith("output"))
    return ModelSizes(
        layers=tuple(layers),
        experts=tuple(experts),
        output=output if "output.weight" in others else output + embedding,
        cache_per_token=_cache_per_token(base, handle, architecture),
        width=integer_value(base, handle, f"{architecture}.embedding_length"),
        feed_forward=_largest(base, handle, f"{architecture}.feed_forward_length"),
        context_length=integer_value(base, handle, f"{architecture}.context_length"),
        heads=() if architecture in NO_QUANTIZED_CACHE else _heads(base, handle, architecture),
    )


def _tensors(base: ctypes.CDLL, handle: int) -> list[tuple[str, int]]:
    """Names and sizes in bytes of all tensors."""
    base.gguf_get_n_tensors.argtypes, base.gguf_get_n_tensors.restype = [ctypes.c_void_p], ctypes.c_int64
    for name, kind in (("gguf_get_tensor_name", ctypes.c_char_p), ("gguf_get_tensor_size", ctypes.c_size_t)):
        function = getattr(base, name)
        function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int64], kind
    return [
        (base.gguf_get_tensor_name(handle, index).decode("utf-8", "replace"), base.gguf_get_tensor_size(handle, index))
        for index in range(base.gguf_get_n_tensors(handle))
    ]


def _cache_per_token(base: ctypes.CDLL, handle: int, architecture: str) -> int:
    """Numbers in the keys and values of one token in one layer."""

    def number(name: str) -> int:
        return _largest(base, handle, f"{architecture}.{name}")

    # Only files that say how long keys are without compression are kept compressed; older ones as any other model.
    if number("attention.key_length_mla") and (latent := number("attention.kv_lora_rank")):
        return latent + number("rope.dimension_count")
    keys, values = _heads(base, handle, architecture)
    return (number("attention.head_count_kv") or number("attention.head_count") or 1) * (keys + values)


def _heads(base: ctypes.CDLL, handle: int, architecture: str) -> tuple[int, int]:
    """Numbers in the keys and in the values of one attention head."""

    def number(name: str) -> int:
        return _largest(base, handle, f"{architecture}.{name}")

    default = number("embedding_length") // (number("attention.head_count") or 1)
    return number("attention.key_length") or default, number("attention.value_length") or default


def _largest(base: ctypes.CDLL, handle: int, key: str) -> int:
    """Return the number under ``key``, the largest one where it is a list with one for each layer."""
    index, kind = find_key(base, handle, key)
    if kind != ARRAY_TYPE:
        return integer_value(base, handle, key)
    arguments = (ctypes.c_void_p, ctypes.c_int64)
    base.gguf_get_arr_type.argtypes, base.gguf_get_arr_type.restype = arguments, ctypes.c_int
    base.gguf_get_arr_n.argtypes, base.gguf_get_arr_n.restype = arguments, ctypes.c_size_t
    base.gguf_get_arr_data.argtypes = arguments
    base.gguf_get_arr_data.restype = ctypes.POINTER(ctypes.c_int32)
    if base.gguf_get_arr_type(handle, index) not in INT32_TYPES:
        return 0
    values = base.gguf_get_arr_data(handle, index)[: base.gguf_get_arr_n(handle, index)]
    return max([0, *map(int, values)])
