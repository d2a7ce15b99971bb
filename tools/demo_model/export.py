"""Writes a trained model as GGUF: matrices as Q8_0, norms as F32, tokenizer and chat template inside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import gguf
import numpy as np

from tools.demo_model.chatml import CHAT_TEMPLATE, CONTROL_TOKENS, END_OF_TEXT, TURN_END

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

    from tools.demo_model.model import Llama, ModelShape

BLOCK_NAMES = {
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.output": "attn_output",
    "feed_forward_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def export_gguf(model: Llama, tokenizer: Tokenizer, destination: Path) -> None:
    """Write ``destination``; there is no output matrix, so llama.cpp takes the embedding for it."""
    writer = gguf.GGUFWriter(destination, "llama")
    _add_shape(writer, model.shape)
    _add_tokenizer(writer, tokenizer)
    for name, weight in model.state_dict().items():
        _add_weight(writer, _gguf_name(name), weight.detach().float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(writer: gguf.GGUFWriter, shape: ModelShape) -> None:
    writer.add_name("Packer demo")
    writer.add_description("A small demonstration model that talks about the packer program.")
    writer.add_license("MIT")
    writer.add_languages(["en", "zh"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.num_layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.num_heads)
    writer.add_head_count_kv(shape.num_kv_heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    tokens = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]
    kinds = [gguf.TokenType.CONTROL if token in CONTROL_TOKENS else gguf.TokenType.NORMAL for token in tokens]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_eos_token_id(tokenizer.token_to_id(TURN_END))
    writer.add_pad_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _gguf_name(name: str) -> str:
    part = name.removesuffix(".weight")
    if part.startswith("blocks."):
        _, index, inner = part.split(".", 2)
        return f"blk.{index}.{BLOCK_NAMES[inner]}.weight"
    return {"embedding": "token_embd.weight", "norm": "output_norm.weight"}[part]


def _add_weight(writer: gguf.GGUFWriter, name: str, values: np.ndarray) -> None:
    if values.ndim == 1:
        writer.add_tensor(name, values.astype(np.float32))
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
