"""How many requests are worked on together."""

from __future__ import annotations

import pytest

from runtime.loading import choose_slots


@pytest.mark.parametrize(
    ("context_tokens", "on_cpu", "on_device"),
    [(1, 1, 1), (256, 1, 1), (1024, 4, 4), (4096, 4, 8), (8192, 8, 16), (16384, 8, 32), (1 << 20, 8, 32)],
)
def test_slots_for_a_context(context_tokens: int, on_cpu: int, on_device: int) -> None:
    assert choose_slots(context_tokens) == on_cpu
    assert choose_slots(context_tokens, on_device=True) == on_device
