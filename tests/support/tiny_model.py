"""A model of random weights for tests, made in a fraction of a second.

It loads, tokenizes and streams like any other model, but what it says is noise. Its vocabulary is SentencePiece's
kind: byte tokens, so that every text can be written, and a few hundred common words.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from packer.toolchain.build_cache import default_build_cache, digest_of, file_sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

    import gguf
    import numpy as np
    import numpy.typing as npt

WIDTH = 128
LAYERS = 4
HEADS = 4
KV_HEADS = 2
FEED_FORWARD = 256
CONTEXT_LENGTH = 2048
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' "
    "+ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
WORDS = """
    the of and to in is it you that for on are with as this be at have from or one had by but not what all were we
    when your can said there use an each which she do how their if will up other about out many then them these so
    some her would make like him into time has look two more write go see number no way could people my than first
    water been call who oil its now find long down day did get come made may part hello thank good morning model
    file
""".split()

UNKNOWN, NORMAL, CONTROL, BYTE = 2, 1, 3, 6
BOS_ID, EOS_ID = 1, 260


def tiny_model() -> Path:
    """Return the tiny model, making it when it is missing."""
    cache = default_build_cache()
    digest = digest_of(file_sha256(Path(__file__)))
    return cache.get_or_build("tiny", digest, lambda work: write_tiny_model(work / "tiny.gguf")) / "tiny.gguf"


def vocabulary(marks: Sequence[str] = ()) -> tuple[list[str], list[float], list[int]]:
    """Tokens, scores and types: control tokens, 256 bytes, ChatML's marks, then words with and without a space.

    ``marks`` are further control tokens.
    """
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "<|im_start|>", "<|im_end|>"]
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, CONTROL, CONTROL]
    letters = [chr(code) for code in range(32, 127)]
    pieces = ["▁", *letters[1:], *(f"▁{word}" for word in WORDS), *WORDS]
    pieces = list(dict.fromkeys(pieces))
    scores = [0.0] * len(tokens) + [float(len(piece)) - 100.0 for piece in pieces]
    more = [mark for mark in marks if mark not in tokens + pieces]
    scores += [0.0] * len(more)
    return tokens + pieces + more, scores, types + [NORMAL] * len(pieces) + [CONTROL] * len(more)


def write_tiny_model(
    path: Path,
    *,
    seed: int = 7,
    layers: int = LAYERS,
    template: str | None = CHAT_TEMPLATE,
    marks: Sequence[str] = (),
    context_length: int = CONTEXT_LENGTH,
) -> None:
    """Write a loadable Llama-architecture GGUF of about a megabyte with random weights."""
    import gguf
    import numpy as np

    tokens, scores, types = vocabulary(marks)
    writer = gguf.GGUFWriter(path, "llama")
    _write_metadata(writer, layers, context_length)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(BOS_ID)
    writer.add_eos_token_id(EOS_ID)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    if template is not None:
        writer.add_chat_template(template)
    random = np.random.default_rng(seed)
    for name, values in _tensors(random, len(tokens), types, layers):
        _add_tensor(writer, name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_metadata(writer: gguf.GGUFWriter, layers: int, context_length: int) -> None:
    import gguf

    writer.add_name("Tiny model")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(context_length)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)


def _tensors(
    random: np.random.Generator, num_tokens: int, types: list[int], layers: int
) -> list[tuple[str, npt.NDArray[np.float32]]]:
    """Every tensor of the model by its GGUF name; matrices as (rows, columns)."""
    import numpy as np

    def matrix(rows: int, columns: int, scale: float = 1.0) -> npt.NDArray[np.float32]:
        values = random.standard_normal((rows, columns)) * scale / np.sqrt(columns)
        return np.asarray(values, dtype=np.float32)

    ones = np.ones(WIDTH, dtype=np.float32)
    output = matrix(num_tokens, WIDTH, 6.0)
    output[[index for index, kind in enumerate(types) if kind != NORMAL]] = 0.0
    found = [
        ("token_embd.weight", matrix(num_tokens, WIDTH, 8.0)),
        ("output.weight", output),
        ("output_norm.weight", ones),
    ]
    kv_width = WIDTH * KV_HEADS // HEADS
    for layer in range(layers):
        shapes = {
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (kv_width, WIDTH),
            "attn_v": (kv_width, WIDTH),
            "attn_output": (WIDTH, WIDTH),
            "ffn_gate": (FEED_FORWARD, WIDTH),
            "ffn_up": (FEED_FORWARD, WIDTH),
            "ffn_down": (WIDTH, FEED_FORWARD),
        }
        found += [(f"blk.{layer}.{name}.weight", matrix(*shape)) for name, shape in shapes.items()]
        found += [(f"blk.{layer}.{name}.weight", ones) for name in ("attn_norm", "ffn_norm")]
    return found


def _add_tensor(writer: gguf.GGUFWriter, name: str, values: npt.NDArray[np.float32]) -> None:
    """Matrices as Q8_0, vectors as F32."""
    import gguf

    if values.ndim == 1:
        writer.add_tensor(name, values)
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
