"""Number formats of the KV cache: ggml's numbers for them, their sizes, and which models they fit."""

from __future__ import annotations

from dataclasses import dataclass

F16 = "f16"


@dataclass(frozen=True, kw_only=True)
class KvType:
    """A format: its ``ggml_type``, and how many values make a block of how many bytes (ggml-common.h)."""

    ggml_type: int
    block_values: int
    block_bytes: int

    def size_bytes(self, num_values: int) -> int:
        """Return the bytes of so many values."""
        return num_values * self.block_bytes // self.block_values


KV_TYPES = {
    F16: KvType(ggml_type=1, block_values=1, block_bytes=2),
    "q8_0": KvType(ggml_type=8, block_values=32, block_bytes=34),
    "q4_0": KvType(ggml_type=2, block_values=32, block_bytes=18),
}
"""The formats by the names of ``--kv-type``. Quantized ones want flash attention, which llama.cpp then switches on."""
