"""Chats that take turns in a context too small for both: what comes back from memory gives llama.cpp's own tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engine.test_memories import ARCHITECTURES, SYSTEM, TURNS, check
from tests.support.made_models import made_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from packer.runtimes.recipe import RuntimeParts
    from tests.support.real_engine import RealEngine

OTHER = "good people know the water, and the water is all there is on such a day. "


@pytest.mark.parametrize("architecture", ["llama", "qwen3", *ARCHITECTURES])
def test_two_chats_in_turn(
    open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts, architecture: str
) -> None:
    real = open_engine(made_model(runtime_parts, architecture), context_size=256, num_slots=1)
    chats = [real.encoder.encode_text(text * 10)[:130] for text in (SYSTEM, OTHER)]
    found, reused = [], []
    for turn in TURNS[:3]:
        for index, chat in enumerate(chats):
            prompt = [*chat, *real.encoder.encode_text(turn)[1:]]
            reply = real.generate(prompt, max_tokens=8)
            found.append((prompt, 8, reply.finished.token_ids))
            reused.append(reply.finished.usage.num_reused_tokens / len(chat))
            chats[index] = [*prompt, *reply.finished.token_ids]
    assert sum(len(chat) for chat in chats) > 256, "both would fit"
    check(runtime_parts, architecture, found)
    assert all(part > 0.9 for part in reused[2:]), reused
