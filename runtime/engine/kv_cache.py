"""Books of the KV cache: which sequence holds which cells, what idle sequences can be reused, and what to evict.

llama.cpp's unified cache is one pool of cells. A cell holds one token for one or several sequences, so a copied
prefix costs nothing; it is free again when its last sequence lets go (llama.h, ``llama_memory_seq_cp`` and
``llama_memory_seq_rm``). A sequence is *live* while a request works with it and *idle* afterwards, kept for its prefix.

It only counts: it does not know the device, which the caller changes along with these books.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runtime.engine.adapters import AS_LOADED, Scales
from runtime.engine.pictures import whole_pictures

if TYPE_CHECKING:
    from collections.abc import Sequence as Items

COMPARE_TOKENS = 256


class CacheFullError(RuntimeError):
    """More cells were asked for than are free; the caller has to make room first."""


@dataclass(kw_only=True)
class Entry:
    """One sequence in the cache: its tokens, the cell of each, and the time of its last use.

    ``adapters`` are those that its tokens were run with. ``idle_since`` is how many tokens its owner had computed when
    it became idle.
    """

    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    live: bool = True
    used_at: int = 0
    idle_since: int = 0
    adapters: Scales = AS_LOADED


@dataclass(frozen=True, kw_only=True)
class Match:
    """A cached sequence that begins as a prompt does, for ``num_tokens`` tokens."""

    sequence_id: int
    num_tokens: int


def common_prefix_length(left: Items[int], right: Items[int]) -> int:
    """Return how many tokens two sequences share at their beginning; both of the same type (list or tuple)."""
    limit = min(len(left), len(right))
    start = 0
    while start < limit and left[start : start + COMPARE_TOKENS] == right[start : start + COMPARE_TOKENS]:
        start += COMPARE_TOKENS
    start = min(start, limit)
    while start < limit and left[start] == right[start]:
        start += 1
    return start


class KvCache:
    """The books of ``num_cells`` cells for sequences with ids 0 to ``num_sequences - 1``."""

    def __init__(self, num_cells: int, num_sequences: int) -> None:
        """Begin with an empty cache."""
        self.num_cells = num_cells
        self.entries: dict[int, Entry] = {}
        self._free_ids = list(range(num_sequences))[::-1]
        self._free_cells = list(range(num_cells))[::-1]
        self._holders = [0] * num_cells
        self._live_holders = [0] * num_cells
        self.num_live_cells = 0
        self._clock = 0

    def grow(self, num_cells: int) -> None:
        """Add free cells, so that there are ``num_cells``."""
        more = num_cells - self.num_cells
        self._free_cells[:0] = range(num_cells - 1, self.num_cells - 1, -1)
        self._holders.extend([0] * more)
        self._live_holders.extend([0] * more)
        self.num_cells = num_cells

    @property
    def num_free_cells(self) -> int:
        """Cells that no sequence holds."""
        return len(self._free_cells)

    @property
    def num_idle_cells(self) -> int:
        """Cells that only idle sequences hold."""
        return self.num_cells - self.num_free_cells - self.num_live_cells

    def claim(self, adapters: Scales = AS_LOADED) -> int | None:
        """Begin an empty live sequence and return its id; ``None`` when all ids are taken."""
        if not self._free_ids:
            return None
        sequence_id = self._free_ids.pop()
        self.entries[sequence_id] = Entry(used_at=self._tick(), adapters=adapters)
        return sequence_id

    def extend(self, sequence_id: int, tokens: Items[int]) -> None:
        """Append ``tokens`` to a live sequence. Raises CacheFullError when too few cells are free."""
        if len(tokens) > len(self._free_cells):
            raise CacheFullError(f"{len(tokens)} cells are wanted and {len(self._free_cells)} are free")
        entry = self.entries[sequence_id]
        cells = [self._free_cells.pop() for _ in tokens]
        entry.tokens.extend(tokens)
        self._hold(entry, cells)

    def share(self, source_id: int, target_id: int, num_tokens: int) -> None:
        """Let the empty live sequence ``target_id`` begin with the first ``num_tokens`` of another."""
        source, target = self.entries[source_id], self.entries[target_id]
        source.used_at = self._tick()
        target.tokens.extend(source.tokens[:num_tokens])
        self._hold(target, source.cells[:num_tokens])

    def truncate(self, sequence_id: int, num_tokens: int) -> None:
        """Forget all but the first ``num_tokens`` of a sequence."""
        entry = self.entries[sequence_id]
        self._release(entry, entry.cells[num_tokens:])
        del entry.tokens[num_tokens:], entry.cells[num_tokens:]

    def is_shared(self, sequence_id: int, start: int) -> bool:
        """Tell whether other sequences hold cells of this one from token ``start`` on."""
        return any(self._holders[cell] > 1 for cell in self.entries[sequence_id].cells[start:])

    def shift(self, sequence_id: int, start: int, count: int) -> None:
        """Forget ``count`` tokens from ``start`` on; those behind move forward."""
        entry = self.entries[sequence_id]
        self._release(entry, entry.cells[start : start + count])
        del entry.tokens[start : start + count], entry.cells[start : start + count]

    def retire(self, sequence_id: int) -> None:
        """Make a live sequence idle."""
        entry = self.entries[sequence_id]
        for cell in entry.cells:
            self._leave(cell)
        entry.live = False
        entry.used_at = self._tick()

    def revive(self, sequence_id: int) -> None:
        """Make an idle sequence live again, with all its tokens."""
        entry = self.entries[sequence_id]
        entry.live = True
        entry.used_at = self._tick()
        for cell in entry.cells:
            self._enter(cell)

    def drop(self, sequence_id: int) -> None:
        """Forget a sequence; its id is free again."""
        self.truncate(sequence_id, 0)
        del self.entries[sequence_id]
        self._free_ids.append(sequence_id)

    def best_match(self, tokens: list[int], adapters: Scales = AS_LOADED) -> Match | None:
        """Return the sequence that shares the most with ``tokens``, but never all of them; idle ones win a tie.

        A picture is shared as a whole or not at all, and what was run with other adapters is not.

        The last token is left out because its logits are wanted, so it has to be run again.
        """
        wanted = tokens[:-1]
        found = [
            (whole_pictures(tokens, common_prefix_length(entry.tokens, wanted)), not entry.live, sequence_id)
            for sequence_id, entry in self.entries.items()
            if entry.adapters == adapters
        ]
        length, _idle, sequence_id = max(found, default=(0, False, 0))
        return Match(sequence_id=sequence_id, num_tokens=length) if length else None

    def num_live_shared(self, match: Match) -> int:
        """Count the cells of a match that live sequences hold already, so that sharing them takes no room."""
        cells = self.entries[match.sequence_id].cells[: match.num_tokens]
        return sum(1 for cell in cells if self._live_holders[cell])

    def oldest_idle(self, *, keep: int | None = None) -> int | None:
        """Return the id of the idle sequence that was not used for longest, ``keep`` excepted."""
        return next((sequence_id for sequence_id in self.idle_by_age() if sequence_id != keep), None)

    def idle_by_age(self) -> list[int]:
        """Return the ids of all idle sequences, the one that was not used for longest first."""
        idle = [(entry.used_at, sequence_id) for sequence_id, entry in self.entries.items() if not entry.live]
        return [sequence_id for _, sequence_id in sorted(idle)]

    def num_own_cells(self, sequence_id: int) -> int:
        """Count the cells that only this sequence holds."""
        return sum(self._holders[cell] == 1 for cell in self.entries[sequence_id].cells)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _hold(self, entry: Entry, cells: list[int]) -> None:
        entry.cells.extend(cells)
        for cell in cells:
            self._holders[cell] += 1
            self._enter(cell)

    def _release(self, entry: Entry, cells: list[int]) -> None:
        for cell in cells:
            if entry.live:
                self._leave(cell)
            self._holders[cell] -= 1
            if self._holders[cell] == 0:
                self._free_cells.append(cell)

    def _enter(self, cell: int) -> None:
        self._live_holders[cell] += 1
        self.num_live_cells += self._live_holders[cell] == 1

    def _leave(self, cell: int) -> None:
        self._live_holders[cell] -= 1
        self.num_live_cells -= self._live_holders[cell] == 0
