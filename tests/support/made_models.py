"""Tiny models of any architecture, of random weights: llama.cpp itself says which tensors their metadata ask for.

``llama_model_init_from_user`` (llama.h) creates every tensor that an architecture wants and asks for its values, which
tells names and shapes. The vocabulary is the tiny model's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packer.toolchain.build_cache import digest_of, file_sha256
from tests.support import reference
from tests.support import tiny_model as tiny

if TYPE_CHECKING:
    import gguf
    import numpy as np
    import numpy.typing as npt

    from packer.runtimes.recipe import RuntimeParts

WIDTH, LAYERS, HEADS, FEED_FORWARD, CONTEXT_LENGTH = 128, 4, 4, 192, 2048
WINDOW = 32
COMMON: dict[str, Any] = {
    "context_length": CONTEXT_LENGTH,
    "embedding_length": WIDTH,
    "block_count": LAYERS,
    "feed_forward_length": FEED_FORWARD,
    "attention.head_count": HEADS,
    "attention.head_count_kv": HEADS,
    "attention.layer_norm_epsilon": 1e-5,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "rope.freq_base": 10000.0,
}
STATE = {"ssm.conv_kernel": 4, "ssm.inner_size": 2 * WIDTH, "ssm.state_size": 16, "ssm.time_step_rank": 8}
SPECIAL: dict[str, dict[str, Any]] = {
    "mamba": {**STATE, "attention.head_count": 0, "attention.head_count_kv": 0, "feed_forward_length": 0},
    "rwkv7": {
        "wkv.head_size": 64,
        "attention.decay_lora_rank": 32,
        "attention.iclr_lora_rank": 32,
        "attention.value_residual_mix_lora_rank": 32,
        "attention.gate_lora_rank": 32,
        "token_shift_count": 2,
        "attention.head_count": 0,
        "attention.head_count_kv": 0,
    },
    "jamba": {**STATE, "attention.head_count_kv": [HEADS, 0, HEADS, 0], "expert_count": 0, "expert_used_count": 0},
    "lfm2": {"shortconv.l_cache": 3, "attention.head_count_kv": [HEADS, 0, HEADS, 0]},
    "gemma2": {
        "attention.sliding_window": WINDOW,
        "attention.key_length": WIDTH // HEADS,
        "attention.value_length": WIDTH // HEADS,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
    "gemma3": {
        "attention.sliding_window": WINDOW,
        "attention.key_length": WIDTH // HEADS,
        "attention.value_length": WIDTH // HEADS,
    },
    "bert": {"attention.causal": False, "pooling_type": 1, "tokenizer.ggml.token_type_count": 2, "context_length": 512},
    "nomic-bert": {
        "attention.causal": False,
        "pooling_type": 1,
        "tokenizer.ggml.token_type_count": 2,
        "context_length": 512,
    },
    "qwen3": {
        "pooling_type": 3,
        "attention.key_length": WIDTH // HEADS,
        "attention.value_length": WIDTH // HEADS,
    },
}
"""What an architecture wants beyond ``COMMON``, or differently, by metadata key without the architecture's name."""

LEFT_OUT = (".scale", ".input_scale", "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors that are optional and not for weights of this kind."""

LIST_TENSORS = """
header = sys.argv[1].encode()
base = ctypes.CDLL(os.path.join(os.environ["BINDING_LIBRARIES"], "libggml-base.so"))
class Params(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))
base.gguf_init_from_file.argtypes, base.gguf_init_from_file.restype = [ctypes.c_char_p, Params], ctypes.c_void_p
base.ggml_get_name.argtypes, base.ggml_get_name.restype = [ctypes.c_void_p], ctypes.c_char_p
found = {}
def note(tensor, _data):
    start = ctypes.cast(tensor, ctypes.POINTER(ctypes.c_int64))
    # struct ggml_tensor (ggml.h): type, buffer, then the four extents.
    shape = start[2:6]
    while len(shape) > 1 and shape[-1] == 1:
        shape.pop()
    found[base.ggml_get_name(tensor).decode()] = shape
metadata = base.gguf_init_from_file(header, Params(True, None))
callback = L.llama_model_set_tensor_data_t(note)
model = L.llama_model_init_from_user(metadata, callback, None, L.llama_model_default_params())
assert model
print(json.dumps(found))
"""


def made_model(parts: RuntimeParts, architecture: str, **changes: Any) -> Path:
    """A model of ``architecture``, made once and kept; ``changes`` are metadata, with ``__`` in place of dots."""
    wanted = {**COMMON, **SPECIAL.get(architecture, {}), **{key.replace("__", "."): v for key, v in changes.items()}}
    name = f"made-{architecture}"
    digest = digest_of([file_sha256(Path(__file__)), file_sha256(Path(tiny.__file__)), repr(sorted(wanted.items()))])

    def build(work: Path) -> None:
        header = work / "header.gguf"
        write_gguf(header, architecture, wanted, {})
        shapes = json.loads(reference.run_with_binding(parts, LIST_TENSORS, header))
        write_gguf(work / "model.gguf", architecture, wanted, _all_values(shapes))
        header.unlink()

    return parts.tools.cache.get_or_build(name, digest, build) / "model.gguf"


def write_gguf(
    path: Path, architecture: str, values: dict[str, Any], tensors: dict[str, npt.NDArray[np.float32]]
) -> None:
    """Write a GGUF with the tiny model's vocabulary; ``values`` are metadata, ``tensors`` have (rows, columns)."""
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"Tiny {architecture}")
    for key, value in values.items():
        _add(writer, key if key.startswith("tokenizer.") else f"{architecture}.{key}", value)
    tokens, scores, types = tiny.vocabulary()
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(tiny.BOS_ID)
    writer.add_eos_token_id(tiny.EOS_ID)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tiny.CHAT_TEMPLATE)
    for name, content in tensors.items():
        writer.add_tensor(name, content)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _all_values(shapes: dict[str, list[int]]) -> dict[str, npt.NDArray[np.float32]]:
    """Random values; ``shapes`` have the innermost extent first."""
    import numpy as np

    random = np.random.default_rng(7)
    wanted = {name: shape for name, shape in shapes.items() if not name.endswith(LEFT_OUT)}
    return {name: _values(random, name, shape[::-1]) for name, shape in wanted.items()}


def _values(random: np.random.Generator, name: str, shape: list[int]) -> npt.NDArray[np.float32]:
    """Norms around 1, decays below 0, words far enough apart that the likeliest one is never a near tie."""
    import numpy as np

    scale, middle = (0.05, 1.0) if "norm" in name and name.endswith("weight") else (0.1, 0.0)
    if name in {"token_embd.weight", "output.weight"}:
        scale = 1.0
    values = np.asarray(random.standard_normal(shape) * scale + middle, dtype=np.float32)
    if "ssm_a" in name:
        values = -np.abs(values)
    if name == "output.weight":
        values[[index for index, kind in enumerate(tiny.vocabulary()[2]) if kind != tiny.NORMAL]] = 0.0
    return values


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_array(key, value)
