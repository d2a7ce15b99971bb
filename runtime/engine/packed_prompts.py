"""Prompts that were read when the file was made: which of them a request begins with, and putting it into the cache.

It is asked at every request, not only at the first: a prompt that was evicted is restored again, and a recurrent
memory, whose past can't be cut, gets a fresh copy for each chat.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.engine.kv_cache import common_prefix_length

if TYPE_CHECKING:
    from runtime.engine.kv_cache import KvCache
    from runtime.engine.model_runner import ModelRunner

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PackedMatch:
    """A packed prompt of ``num_cells`` tokens that a request shares the first ``num_tokens`` of."""

    index: int
    num_tokens: int
    num_cells: int


class PackedPrompts:
    """The packed prompts of a runner. One that can't be restored is not tried again."""

    def __init__(self, runner: ModelRunner) -> None:
        """Know all of them; nothing is read yet."""
        self._runner = runner
        self._tokens = {index: list(tokens) for index, tokens in enumerate(runner.packed_prompts)}
        self._only_whole: set[int] = set()

    def best_match(self, tokens: list[int], *, at_least: int) -> PackedMatch | None:
        """Return the packed prompt that shares the most with ``tokens``, if that is ``at_least`` so many.

        The last token is left out because its logits are wanted. A prompt of which less than half is shared would take
        more room than it is worth.
        """
        best, wanted = None, tokens[:-1]
        for index, packed in self._tokens.items():
            length = common_prefix_length(packed, wanted)
            if length < (len(packed) if index in self._only_whole else max(at_least, len(packed) // 2)):
                continue
            if length >= at_least and (best is None or length > best.num_tokens):
                best = PackedMatch(index=index, num_tokens=length, num_cells=len(packed))
        return best

    def restore(self, match: PackedMatch, cache: KvCache, cache_id: int) -> bool:
        """Put what is shared into the empty live sequence ``cache_id``; ``False`` when it stays empty.

        The caller has found the cells for the whole of it.
        """
        tokens = self._tokens[match.index]
        if not self._runner.restore(cache_id, match.index):
            _LOG.warning("a packed prompt of %d tokens can't be restored; it is read instead", len(tokens))
            del self._tokens[match.index]
            return False
        if match.num_tokens < len(tokens) and not self._runner.truncate(cache_id, match.num_tokens):
            self._only_whole.add(match.index)
            return False
        cache.extend(cache_id, tokens[: match.num_tokens])
        _LOG.info("%d tokens of a packed prompt were restored", match.num_tokens)
        return True
