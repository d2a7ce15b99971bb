"""What a chat loses when it outgrows the context: its oldest part, but not its beginning.

The first ``num_keep`` tokens, the system prompt, stay; of the rest the older half goes, as in llama.cpp's server. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def can_shift(num_keep: int, context_tokens: int) -> bool:
    """Tell whether what is to stay leaves at least half of the context."""
    return num_keep <= context_tokens // 2


def num_to_drop(num_tokens: int, num_keep: int) -> int:
    """Return how many tokens behind the first ``num_keep`` of ``num_tokens`` go; 0 when there are none to spare."""
    return max(0, num_tokens - num_keep) // 2


def shortened(prompt: Sequence[int], num_keep: int, context_tokens: int) -> tuple[int, ...]:
    """Return a prompt that is too long without its oldest part, so that it leaves room for a reply.

    Of the room behind ``num_keep`` half is for the newest part of the prompt.
    """
    if len(prompt) < context_tokens:
        return tuple(prompt)
    num_newest = (context_tokens - num_keep) // 2
    return (*prompt[:num_keep], *prompt[len(prompt) - num_newest :])
