"""Models made for tests: the tiny one, and the 0.5B benchmark shape with the real Qwen2 vocabulary.

The benchmark model is random weights in the shape of docs/benchmarks.md: 1024 wide, 28 layers, 16 query and 8
key-value heads, 3072 feed-forward, tied embeddings. Its rows are multiples of 256, so that K-quants apply.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from packer.gguf.header import MAGIC, read_header
from packer.toolchain.build_cache import digest_of, file_sha256
from tests.support import reference
from tests.support import tiny_model as tiny

if TYPE_CHECKING:
    from packer.runtimes.recipe import RuntimeParts

WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 1024, 28, 16, 8, 3072
CONTEXT_LENGTH = 32768
UINT32, FLOAT32, STRING = 4, 6, 8
F32_TYPE, F16_TYPE = 0, 1
ALIGNMENT_BYTES = 32
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' "
    "+ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tiny_model() -> Path:
    """The tiny model: about a megabyte, loads in milliseconds."""
    return tiny.tiny_model()


def benchmark_model(parts: RuntimeParts, quantization: str) -> Path:
    """The 0.5B benchmark model as ``Q4_K_M``, ``Q8_0`` or ``F16``; made once and kept in the build cache."""
    vocabulary = parts.tools.sources.llama_cpp / "models" / "ggml-vocab-qwen2.gguf"
    digest = digest_of([file_sha256(Path(__file__)), file_sha256(vocabulary), quantization])

    def build(work: Path) -> None:
        plain = work / "f16.gguf"
        write_benchmark_model(plain, vocabulary)
        if quantization == "F16":
            plain.rename(work / "model.gguf")
            return
        reference.quantize(parts, plain, work / "model.gguf", quantization)
        plain.unlink()

    return parts.tools.cache.get_or_build(f"benchmark-{quantization}", digest, build) / "model.gguf"


def write_benchmark_model(path: Path, vocabulary: Path, *, seed: int = 11) -> None:
    """Write the benchmark shape as F16, one tensor in memory at a time."""
    import numpy as np

    tokenizer = [pair for pair in read_header(vocabulary).pairs if pair.key.startswith("tokenizer.")]
    num_tokens = next(pair.value.count for pair in tokenizer if pair.key == "tokenizer.ggml.tokens")
    pairs = _metadata() + [pair.raw for pair in tokenizer if pair.key != "tokenizer.chat_template"]
    tensors = _tensor_list(num_tokens)
    infos, offset = [], 0
    for name, shape in tensors:
        kind, item_bytes = (F32_TYPE, 4) if len(shape) == 1 else (F16_TYPE, 2)
        infos.append(
            struct.pack("<Q", len(name))
            + name.encode()
            + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        )
        offset += -(-item_bytes * int(np.prod(shape)) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    random = np.random.default_rng(seed)
    with path.open("wb") as stream:
        stream.write(MAGIC + struct.pack("<IQQ", 3, len(infos), len(pairs)) + b"".join(pairs) + b"".join(infos))
        stream.write(bytes(-stream.tell() % ALIGNMENT_BYTES))
        for name, shape in tensors:
            if len(shape) == 1:
                values = np.full(shape, 1.0 if name.endswith("norm.weight") else 0.0, dtype=np.float32)
            else:
                values = (random.standard_normal(shape[::-1], dtype=np.float32) * 0.03).astype(np.float16)
            stream.write(values.tobytes())
            stream.write(bytes(-stream.tell() % ALIGNMENT_BYTES))


def _metadata() -> list[bytes]:
    counts = {
        "context_length": CONTEXT_LENGTH,
        "embedding_length": WIDTH,
        "block_count": LAYERS,
        "feed_forward_length": FEED_FORWARD,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
    }
    floats = {"attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 1e6}
    return [
        _pair("general.architecture", STRING, b"qwen2"),
        _pair("general.name", STRING, b"Benchmark 0.5B"),
        _pair("general.file_type", UINT32, struct.pack("<I", F16_TYPE)),
        *(_pair(f"qwen2.{name}", UINT32, struct.pack("<I", value)) for name, value in counts.items()),
        *(_pair(f"qwen2.{name}", FLOAT32, struct.pack("<f", value)) for name, value in floats.items()),
        _pair("tokenizer.chat_template", STRING, CHATML.encode()),
    ]


def _pair(key: str, kind: int, value: bytes) -> bytes:
    body = struct.pack("<Q", len(value)) + value if kind == STRING else value
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + body


def _tensor_list(num_tokens: int) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes, innermost dimension first."""
    kv_width = WIDTH * KV_HEADS // HEADS
    tensors: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (WIDTH, num_tokens)),
        ("output_norm.weight", (WIDTH,)),
    ]
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm.weight": (WIDTH,),
        "attn_q.weight": (WIDTH, WIDTH),
        "attn_q.bias": (WIDTH,),
        "attn_k.weight": (WIDTH, kv_width),
        "attn_k.bias": (kv_width,),
        "attn_v.weight": (WIDTH, kv_width),
        "attn_v.bias": (kv_width,),
        "attn_output.weight": (WIDTH, WIDTH),
        "ffn_norm.weight": (WIDTH,),
        "ffn_gate.weight": (WIDTH, FEED_FORWARD),
        "ffn_up.weight": (WIDTH, FEED_FORWARD),
        "ffn_down.weight": (FEED_FORWARD, WIDTH),
    }
    for layer in range(LAYERS):
        tensors += [(f"blk.{layer}.{name}", shape) for name, shape in shapes.items()]
    return tensors
