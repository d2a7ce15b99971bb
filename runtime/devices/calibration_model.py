"""Writes the small model that devices are compared with: two layers in the shape of a 1B Llama, 51 MB as Q4_0.

Two layers are enough to show what counts, memory bandwidth and the cost of starting kernels, and are larger than most
processors' caches. The weights are a repeated piece of fixed random bits: the same on every machine. There is no
vocabulary, so it needs no tokenizer. The layout is that of the GGUF specification, version 3.
"""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, FEED_FORWARD, HEADS, KV_HEADS, LAYERS, VOCABULARY = 2048, 5632, 32, 8, 2, 512
CONTEXT_TOKENS = 512
UINT32, FLOAT32, STRING = 4, 6, 8
TYPE_F32, TYPE_Q4_0 = 0, 2
BLOCK_WEIGHTS, BLOCK_SCALE = 32, 0.0048
PIECE_BLOCKS = 4093
ALIGNMENT_BYTES = 32


def write_calibration_model(path: Path) -> None:
    """Write the model; takes some hundredths of a second."""
    tensors = _tensors()
    infos, offset = b"", 0
    for name, shape in tensors:
        kind = TYPE_F32 if len(shape) == 1 else TYPE_Q4_0
        infos += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        offset += _align(_size_bytes(shape))
    pairs = _metadata()
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs) + infos
    piece = random_blocks()
    with path.open("wb") as stream:
        stream.write(header.ljust(_align(len(header)), b"\0"))
        for _name, shape in tensors:
            size = _size_bytes(shape)
            content = struct.pack("<f", 1.0) * shape[0] if len(shape) == 1 else piece * (size // len(piece) + 1)
            stream.write(content[:size].ljust(_align(size), b"\0"))


def _tensors() -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes, innermost dimension first."""
    kv_width = WIDTH * KV_HEADS // HEADS
    tensors: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (WIDTH, VOCABULARY)),
        ("output.weight", (WIDTH, VOCABULARY)),
        ("output_norm.weight", (WIDTH,)),
    ]
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm": (WIDTH,),
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (WIDTH, kv_width),
        "attn_v": (WIDTH, kv_width),
        "attn_output": (WIDTH, WIDTH),
        "ffn_norm": (WIDTH,),
        "ffn_gate": (WIDTH, FEED_FORWARD),
        "ffn_up": (WIDTH, FEED_FORWARD),
        "ffn_down": (FEED_FORWARD, WIDTH),
    }
    for layer in range(LAYERS):
        tensors += [(f"blk.{layer}.{name}.weight", shape) for name, shape in shapes.items()]
    return tensors


def _metadata() -> list[bytes]:
    counts = {
        "context_length": CONTEXT_TOKENS,
        "embedding_length": WIDTH,
        "block_count": LAYERS,
        "feed_forward_length": FEED_FORWARD,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "rope.dimension_count": WIDTH // HEADS,
        "vocab_size": VOCABULARY,
    }
    return [
        _string("general.architecture") + struct.pack("<I", STRING) + _string("llama"),
        _string("tokenizer.ggml.model") + struct.pack("<I", STRING) + _string("none"),
        *(_string(f"llama.{name}") + struct.pack("<II", UINT32, value) for name, value in counts.items()),
        _string("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", FLOAT32, 1e-5),
    ]


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _size_bytes(shape: tuple[int, ...]) -> int:
    if len(shape) == 1:
        return shape[0] * 4
    return shape[0] * shape[1] // BLOCK_WEIGHTS * (2 + BLOCK_WEIGHTS // 2)


def _align(size: int) -> int:
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def random_blocks() -> bytes:
    """A piece of weights: blocks of Q4_0: a scale as a half, then 32 numbers of four bits."""
    scale, source = struct.pack("<e", BLOCK_SCALE), random.Random(1)
    return b"".join(scale + source.randbytes(BLOCK_WEIGHTS // 2) for _ in range(PIECE_BLOCKS))
