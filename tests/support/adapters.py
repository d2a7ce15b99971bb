"""LoRA adapters of random weights for made models, and the same models with an adapter merged into the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support import made_models

if TYPE_CHECKING:
    from pathlib import Path

    import gguf

RANK, ALPHA = 4, 8.0
ADAPTED = ("blk.0.attn_q.weight", "blk.1.ffn_down.weight", "blk.2.attn_v.weight", "blk.3.ffn_up.weight")


def write_adapter(
    path: Path, model: Path, *, seed: int = 3, architecture: str | None = None, alpha: float = ALPHA
) -> None:
    """Write an adapter for four matrices of ``model``."""
    import gguf
    import numpy as np

    reader = gguf.GGUFReader(model)
    writer = gguf.GGUFWriter(path, architecture or str(reader.fields["general.architecture"].contents()))
    writer.add_type("adapter")
    writer.add_name(f"Adapter {seed}")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    random = np.random.default_rng(seed)
    for tensor in _adapted(reader):
        columns, rows = (int(extent) for extent in tensor.shape)
        writer.add_tensor(f"{tensor.name}.lora_a", (random.standard_normal((RANK, columns)) * 0.2).astype(np.float32))
        writer.add_tensor(f"{tensor.name}.lora_b", (random.standard_normal((rows, RANK)) * 0.2).astype(np.float32))
    _finish(writer)


def write_merged(path: Path, model: Path, adapters: list[tuple[Path, float]], **metadata: Any) -> None:
    """Write ``model`` with every adapter added to its weights at its scale: W + scale * alpha / rank * B A."""
    import gguf
    import numpy as np

    weights = {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(model).tensors}
    for adapter, scale in adapters:
        parts = {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(adapter).tensors}
        for name in ADAPTED:
            product = parts[f"{name}.lora_b"] @ parts[f"{name}.lora_a"]
            weights[name] = weights[name] + np.float32(scale * ALPHA / RANK) * product
    made_models.write_gguf(path, "llama", {**made_models.COMMON, **metadata}, weights)


def _adapted(reader: gguf.GGUFReader) -> list[Any]:
    return [tensor for tensor in reader.tensors if tensor.name in ADAPTED]


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
