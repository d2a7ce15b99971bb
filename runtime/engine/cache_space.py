"""The room of the engine: the KV cache on the device and its books changed together, and the swap space behind it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from packer.errors import MachineError
from runtime.engine.kv_cache import KvCache
from runtime.engine.packed_prompts import PackedPrompts
from runtime.engine.scheduler import next_size
from runtime.engine.swap_space import SwapSpace

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.engine.adapters import Scales
    from runtime.engine.kv_cache import Match
    from runtime.engine.model_runner import ModelRunner
    from runtime.engine.saved_prompts import SavedMatch

_LOG = logging.getLogger(__name__)

SPARED_IDLE_CELLS = 1024
SPARED_WHILE_IDLE = 256
SWAP_AFTER_ROWS = 128
SWAP_EVERY_ROWS = 32
SWAP_AT_ONCE_TOKENS = 2048
WORTH_SAVING_TOKENS = 16


class CacheSpace:
    """Places sequences in the cache of a runner and finds room for them.

    ``cache`` are the books. ``on_lost`` is called when the device has lost everything and the books are empty.
    """

    def __init__(self, runner: ModelRunner, *, clock: Callable[[], float], on_lost: Callable[[], None]) -> None:
        """Begin with an empty cache. ``clock`` gives seconds."""
        self.cache = KvCache(runner.num_cells, runner.num_cached)
        self._packed = PackedPrompts(runner)
        self._swap = SwapSpace(runner)
        self._runner = runner
        self._clock = clock
        self._on_lost = on_lost
        self._num_rows = 0
        self._can_swap = True

    # --- what is reused ----------------------------------------------------------------------------------------

    def best_saved(self, tokens: list[int], adapters: Scales, *, at_least: int) -> SavedMatch | None:
        """Return the saved state, packed or swapped out, that shares the most with ``tokens``."""
        found = (store.best_match(tokens, adapters, at_least=at_least) for store in (self._packed, self._swap))
        return max((match for match in found if match), key=lambda match: match.num_tokens, default=None)

    def place(self, match: Match | None, adapters: Scales) -> int:
        """Return the id of a live cached sequence that begins with what ``match`` found, or is empty.

        An idle sequence that is shared as a whole goes on as the new one: a chat that continues, and the only kind of
        reuse for memories that can't be cut.
        """
        source = self.cache.entries[match.sequence_id] if match else None
        if match and source and not source.live and match.num_tokens == len(source.tokens):
            self.cache.revive(match.sequence_id)
            return match.sequence_id
        cache_id = self.cache.claim(adapters)
        if cache_id is None:
            can_spare = self.evict_oldest(keep=match.sequence_id if match else None)
            if not can_spare:
                match = None
                self.evict_oldest()
            cache_id = self.cache.claim(adapters)
        if cache_id is None:
            raise RuntimeError("every place in the KV cache is in use although a slot is free")
        if match and self._runner.copy(match.sequence_id, cache_id, match.num_tokens):
            self.cache.share(match.sequence_id, cache_id, match.num_tokens)
        return cache_id

    def make_room_for(self, saved: SavedMatch) -> bool:
        """Move idle chats aside, grow or evict until a saved state fits; ``False`` when it can't."""
        try:
            while saved.num_cells > self.cache.num_free_cells:
                if not (self.tidy() or self.grow(saved.num_cells) or self.evict_oldest()):
                    return False
        except MachineError:
            return False
        return True

    def restore(self, saved: SavedMatch, cache_id: int) -> None:
        """Let a live sequence begin with a saved state in place of what it has; there is room for it."""
        self._runner.truncate(cache_id, 0)
        self.cache.truncate(cache_id, 0)
        saved.store.restore(saved, self.cache, cache_id)

    def preload(self) -> None:
        """Put the packed system prompt into the empty cache before anybody asks, if it leaves room beside it."""
        first = self._packed.first()
        cache_id = self.cache.claim() if first and 2 * first.num_cells <= self.cache.num_cells else None
        if first is None or cache_id is None:
            return
        if self._packed.restore(first, self.cache, cache_id):
            self.retire(cache_id)
        else:
            self.drop(cache_id)

    # --- room --------------------------------------------------------------------------------------------------

    def grow(self, num_wanted: int) -> bool:
        """Make the cache larger by what ``num_wanted`` more cells take; ``False`` at its limit. Raises MachineError."""
        in_use = self.cache.num_cells - self.cache.num_free_cells
        size = next_size(self.cache.num_cells, in_use + num_wanted, self._runner.context_tokens)
        if size <= self.cache.num_cells:
            return False
        started_s = self._clock()
        is_kept = self._runner.resize(size)
        _LOG.info("the KV cache grew to %d cells in %.0f ms", size, 1000 * (self._clock() - started_s))
        if is_kept:
            self.cache.grow(size)
        else:
            self._start_over(size)
        return True

    def shrink_when_short(self) -> bool:
        """Give memory back, if other programs need it while nothing runs; chats that go on are read anew."""
        runner = self._runner
        if not runner.is_memory_short():
            return False
        has_freed = self._swap.clear()
        if self.cache.num_cells <= runner.least_cells:
            return has_freed
        while self.drop_oldest():
            pass
        runner.resize(runner.least_cells)
        _LOG.info("memory is short: the KV cache shrank to %d cells", runner.least_cells)
        self._start_over(runner.least_cells)
        return True

    def swap_idle(self, num_rows: int) -> None:
        """Count the tokens of a step; now and then move chats out of its way that too many have walked over.

        Copying a chat out and in again takes about as long as so many tokens lose by walking over it, so that this
        costs at most twice what knowing the future would.
        """
        before, self._num_rows = self._num_rows, self._num_rows + num_rows
        if before // SWAP_EVERY_ROWS == self._num_rows // SWAP_EVERY_ROWS:
            return
        left = SWAP_AT_ONCE_TOKENS
        while left > 0 and self.cache.num_idle_cells > SPARED_IDLE_CELLS:
            oldest = self.cache.oldest_idle()
            if oldest is None or self._num_rows - self.cache.entries[oldest].idle_since < SWAP_AFTER_ROWS:
                return
            left -= len(self.cache.entries[oldest].tokens)
            if not self._swap_out(oldest):
                return
            self.drop(oldest)

    @property
    def is_untidy(self) -> bool:
        """Tell whether :meth:`tidy` has something to do."""
        return self._can_swap and self.cache.num_idle_cells > SPARED_WHILE_IDLE and self._in_the_way() is not None

    def tidy(self) -> bool:
        """Move one chat out of the way of what comes next; ``False`` when there is none, or no room for it.

        While nothing runs, copying costs nobody anything, where a step that walks over a thousand idle cells takes a
        tenth longer.
        """
        chosen = self._in_the_way()
        self._can_swap = chosen is not None and self._swap_out(chosen)
        if chosen is not None and self._can_swap:
            self.drop(chosen)
        return self._can_swap

    def _in_the_way(self) -> int | None:
        """Return the idle chat that was not used for longest, of those that don't share most of their cells.

        The last one stays: it is the likeliest to go on.
        """
        for cache_id in self.cache.idle_by_age()[:-1]:
            if 2 * self.cache.num_own_cells(cache_id) >= len(self.cache.entries[cache_id].tokens):
                return cache_id
        return None

    def retire(self, cache_id: int) -> None:
        """Make a live sequence idle."""
        self.cache.retire(cache_id)
        self.cache.entries[cache_id].idle_since = self._num_rows
        self._can_swap = True

    def evict_oldest(self, *, keep: int | None = None) -> bool:
        """Free the cells of the idle sequence that was not used for longest; ``False`` when there is none.

        It goes to the swap space, or is forgotten.
        """
        oldest = self.cache.oldest_idle(keep=keep)
        if oldest is None:
            return False
        self._swap_out(oldest)
        self.drop(oldest)
        return True

    def drop_oldest(self) -> bool:
        """Forget the idle sequence that was not used for longest; ``False`` when there is none."""
        oldest = self.cache.oldest_idle()
        if oldest is None:
            return False
        self.drop(oldest)
        return True

    def drop(self, cache_id: int) -> None:
        """Forget a sequence."""
        self._runner.truncate(cache_id, 0)
        self.cache.drop(cache_id)

    def _swap_out(self, cache_id: int) -> bool:
        """Copy a sequence to the swap space, unless it is not worth it; ``False`` when it can't be copied."""
        entry = self.cache.entries[cache_id]
        return len(entry.tokens) < WORTH_SAVING_TOKENS or self._swap.put(cache_id, entry.tokens, entry.adapters)

    def _start_over(self, num_cells: int) -> None:
        """Begin with empty books of ``num_cells`` cells."""
        self.cache = KvCache(num_cells, self._runner.num_cached)
        self._on_lost()
