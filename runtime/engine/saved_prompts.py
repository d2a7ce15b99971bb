"""Prompts whose state is at hand as bytes: which of them a request begins with, and putting it into the cache.

Where the states come from is the business of those who derive from it: of the file, or of chats that had to leave the
cache.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runtime.engine.adapters import AS_LOADED, Scales
from runtime.engine.kv_cache import common_prefix_length
from runtime.engine.pictures import whole_pictures

if TYPE_CHECKING:
    from runtime.engine.kv_cache import KvCache
    from runtime.engine.model_runner import ModelRunner

_LOG = logging.getLogger(__name__)


class Store(Protocol):
    """What can put a state it keeps into the cache."""

    def restore(self, match: SavedMatch, cache: KvCache, cache_id: int) -> bool:
        """Put what is shared into the empty live sequence ``cache_id``; ``False`` when it stays empty."""


@dataclass(frozen=True, kw_only=True)
class SavedMatch:
    """A state in ``store``, of ``num_cells`` tokens, that a request shares the first ``num_tokens`` of."""

    store: Store
    index: int
    num_tokens: int
    num_cells: int


class SavedPrompts(ABC):
    """Saved states by number. One that can't be restored is not tried again."""

    def __init__(self, runner: ModelRunner) -> None:
        """Begin without any."""
        self._runner = runner
        self._tokens: dict[int, list[int]] = {}
        self._only_whole: set[int] = set()
        self._adapters: dict[int, Scales] = {}

    def best_match(self, tokens: list[int], adapters: Scales = AS_LOADED, *, at_least: int) -> SavedMatch | None:
        """Return the state of these adapters that shares the most with ``tokens``, if that is ``at_least`` so many.

        The last token is left out because its logits are wanted. A state of which less than half is shared would take
        more room than it is worth.
        """
        best, wanted = None, tokens[:-1]
        for index, saved in self._tokens.items():
            if self._adapters.get(index, AS_LOADED) != adapters:
                continue
            length = whole_pictures(tokens, common_prefix_length(saved, wanted))
            if length < (len(saved) if index in self._only_whole else max(at_least, len(saved) // 2)):
                continue
            if length >= at_least and (best is None or length > best.num_tokens):
                best = SavedMatch(store=self, index=index, num_tokens=length, num_cells=len(saved))
        return best

    def restore(self, match: SavedMatch, cache: KvCache, cache_id: int) -> bool:
        """Put what is shared into the empty live sequence ``cache_id``; ``False`` when it stays empty.

        The caller has found the cells for the whole of it.
        """
        tokens = self._tokens.get(match.index)
        if tokens is None:  # others needed its place meanwhile
            return False
        if not self._load(cache_id, match.index):
            _LOG.warning("the saved state of %d tokens can't be restored; they are read instead", len(tokens))
            self._forget(match.index)
            return False
        if match.num_tokens < len(tokens) and not self._runner.truncate(cache_id, match.num_tokens):
            self._only_whole.add(match.index)
            return False
        cache.extend(cache_id, tokens[: match.num_tokens])
        _LOG.info("%d tokens were restored from a saved state", match.num_tokens)
        return True

    @abstractmethod
    def _load(self, cache_id: int, index: int) -> bool:
        """Put a whole state into an empty sequence; ``False`` when it can't and stays empty."""

    def _forget(self, index: int) -> None:
        del self._tokens[index]
        self._only_whole.discard(index)
        self._adapters.pop(index, None)
