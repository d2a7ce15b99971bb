"""Models of gigabytes that take a few kilobytes: real headers, real tensor descriptions, and a hole for the weights."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.support import tiny_model

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 4096, 5, 32, 8, 15360
CONTEXT_LENGTH = 2048
ALIGNMENT_BYTES = 32


def write_sparse_model(path: Path, *, layers: int = LAYERS, half: bool = False) -> int:
    """Write a Llama-architecture GGUF whose weights are all zero; return its size in bytes, by default 4.6 GB.

    The weights are F32, or the matrices F16 with ``half``.
    """
    import gguf
    import numpy as np

    tokens, scores, types = tiny_model.vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Sparse model")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if half else gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT_LENGTH)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    weights_bytes = 0
    for name, shape in _shapes(len(tokens), layers).items():
        kind = np.dtype(np.float16 if half and len(shape) > 1 else np.float32)
        size_bytes = kind.itemsize * int(np.prod(shape))
        writer.add_tensor_info(name, shape, kind, size_bytes)
        weights_bytes += -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    header_bytes = -(-path.stat().st_size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    os.truncate(path, header_bytes + weights_bytes)
    return header_bytes + weights_bytes


def _shapes(num_tokens: int, layers: int) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor by its GGUF name; matrices as (rows, columns)."""
    kv_width = WIDTH * KV_HEADS // HEADS
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (num_tokens, WIDTH),
        "output.weight": (num_tokens, WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    layer_shapes: dict[str, tuple[int, ...]] = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (kv_width, WIDTH),
        "attn_v": (kv_width, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (FEED_FORWARD, WIDTH),
        "ffn_up": (FEED_FORWARD, WIDTH),
        "ffn_down": (WIDTH, FEED_FORWARD),
        "attn_norm": (WIDTH,),
        "ffn_norm": (WIDTH,),
    }
    for layer in range(layers):
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in layer_shapes.items()}
    return shapes
