"""Whether weights are rearranged in memory for this processor's fastest code, or stay mapped from the file as they are.

llama.cpp can copy quantized weights into memory of their own in the order that its matrix kernels (AMX, AVX-512, AVX2)
read fastest. That makes prompts and replies faster, up to twice on processors with AMX, and costs up to the size of
the weights in memory and the time to copy them. Source: ggml/src/ggml-cpu/repack.cpp and ggml-cpu/amx of llama.cpp.
"""

from __future__ import annotations

AUTO, ON = "auto", "on"
SMALL_MODEL_BYTES = 16_000_000
MEMORY_FACTOR = 4
"""A copy is made when this many of them would fit into the memory that is free."""


def wants_repacking(wanted: str, model_bytes: int, free_bytes: int | None) -> bool:
    """Decide for a model of ``model_bytes``; ``wanted`` is ``auto``, ``on`` or ``off``."""
    if wanted != AUTO:
        return wanted == ON
    return model_bytes > SMALL_MODEL_BYTES and free_bytes is not None and MEMORY_FACTOR * model_bytes <= free_bytes
