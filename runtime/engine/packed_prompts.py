"""Prompts that were read when the file was made.

They are asked at every request, not only at the first: a prompt that was evicted is restored again, and a recurrent
memory, whose past can't be cut, gets a fresh copy for each chat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.engine.saved_prompts import SavedMatch, SavedPrompts

if TYPE_CHECKING:
    from runtime.engine.model_runner import ModelRunner


class PackedPrompts(SavedPrompts):
    """The packed prompts of a runner."""

    def __init__(self, runner: ModelRunner) -> None:
        """Know all of them; nothing is read yet."""
        super().__init__(runner)
        self._tokens = {index: list(tokens) for index, tokens in enumerate(runner.packed_prompts)}

    def first(self) -> SavedMatch | None:
        """Return the whole of the first one: the system prompt, where the file has one."""
        num_tokens = len(self._tokens.get(0, ()))
        return SavedMatch(store=self, index=0, num_tokens=num_tokens, num_cells=num_tokens) if num_tokens else None

    def _load(self, cache_id: int, index: int) -> bool:
        return self._runner.restore(cache_id, index)
