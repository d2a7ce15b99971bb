"""Swap space: ordinary memory for idle chats that leave the KV cache (Kwon et al., "PagedAttention", 2023: swapping).

Every step walks over all cells of the cache, masked ones too, so chats that nobody works on slow down those that run;
and a chat that was evicted would have to be read anew when it goes on. Here it waits as a copy of its state.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING

from runtime.engine.adapters import AS_LOADED, Scales
from runtime.engine.kv_cache import common_prefix_length
from runtime.engine.saved_prompts import SavedPrompts

if TYPE_CHECKING:
    from runtime.engine.kv_cache import KvCache
    from runtime.engine.model_runner import ModelRunner, SavedState
    from runtime.engine.saved_prompts import SavedMatch

_LOG = logging.getLogger(__name__)


class SwapSpace(SavedPrompts):
    """States of chats, with the cells of the cache at most twice the context; the one unused for longest goes first.

    The one that was found last stays in any case, and is not counted: it is about to leave.
    """

    def __init__(self, runner: ModelRunner) -> None:
        """Begin empty."""
        super().__init__(runner)
        self._states: dict[int, SavedState] = {}
        self._numbers = itertools.count()
        self._found: int | None = None

    def best_match(self, tokens: list[int], adapters: Scales = AS_LOADED, *, at_least: int) -> SavedMatch | None:
        """Return the state that shares the most with ``tokens``; it stays until the next search."""
        match = super().best_match(tokens, adapters, at_least=at_least)
        self._found = match.index if match else None
        return match

    def put(self, cache_id: int, tokens: list[int], adapters: Scales = AS_LOADED) -> bool:
        """Keep a copy of a cached sequence; ``False`` when memory is short or the model's memory can't be copied."""
        if not tokens or len(tokens) > self._runner.context_tokens:
            return False
        if any(self._shared(index, tokens, adapters) == len(tokens) for index in self._tokens):
            return True
        state = self._runner.save(cache_id)
        if state is None:
            return False
        self._make_room(tokens, adapters)
        index = next(self._numbers)
        self._tokens[index], self._states[index], self._adapters[index] = list(tokens), state, adapters
        _LOG.info("an idle chat of %d tokens left the KV cache", len(tokens))
        return True

    def _make_room(self, tokens: list[int], adapters: Scales) -> None:
        """Forget what ``tokens`` replace, then the oldest until there is room for them."""
        others = {index: saved for index, saved in self._tokens.items() if index != self._found}
        num_tokens = len(tokens) + sum(map(len, others.values()))
        limit = 2 * self._runner.context_tokens - self._runner.num_cells
        is_replaced = {index: self._shared(index, tokens, adapters) == len(saved) for index, saved in others.items()}
        for index, saved in sorted(others.items(), key=lambda item: not is_replaced[item[0]]):
            if is_replaced[index] or num_tokens > limit:
                num_tokens -= len(saved)
                self._forget(index)

    def _shared(self, index: int, tokens: list[int], adapters: Scales) -> int:
        """Return how much of a state is the same as the beginning of a sequence."""
        return common_prefix_length(self._tokens[index], tokens) if self._adapters[index] == adapters else 0

    def restore(self, match: SavedMatch, cache: KvCache, cache_id: int) -> bool:
        """Put what is shared back into the cache; a chat that goes on leaves the swap space."""
        if not super().restore(match, cache, cache_id):
            return False
        if match.num_tokens == match.num_cells:
            self._forget(match.index)
        else:
            self._tokens[match.index] = self._tokens.pop(match.index)
        return True

    def clear(self) -> bool:
        """Forget everything, because others need the memory; ``False`` when there is nothing."""
        had_any = bool(self._tokens)
        for index in list(self._tokens):
            self._forget(index)
        return had_any

    def _load(self, cache_id: int, index: int) -> bool:
        return self._runner.load(cache_id, self._states[index])

    def _forget(self, index: int) -> None:
        super()._forget(index)
        del self._states[index]
