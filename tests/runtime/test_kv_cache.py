"""The books of the KV cache, against a plain model of shared cells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.engine.kv_cache import CacheFullError, KvCache, Match, common_prefix_length

NUM_CELLS = 12
NUM_SEQUENCES = 4


@given(st.lists(st.integers(1, 3)), st.lists(st.integers(1, 3)), st.integers(0, 600))
def test_common_prefix(left: list[int], right: list[int], shared: int) -> None:
    left, right = [7] * shared + left, [7] * shared + right
    length = common_prefix_length(left, right)
    assert length >= shared
    assert left[:length] == right[:length]
    assert length == min(len(left), len(right)) or left[length] != right[length]


def filled(*sequences: list[int]) -> KvCache:
    cache = KvCache(NUM_CELLS, NUM_SEQUENCES)
    for tokens in sequences:
        cache_id = cache.claim()
        assert cache_id is not None
        cache.extend(cache_id, tokens)
    return cache


def test_the_best_match_is_the_longest_and_leaves_the_last_token_out() -> None:
    cache = filled([1, 2], [1, 2, 3, 4], [1, 2, 3])
    assert cache.best_match([1, 2, 3, 4]) == Match(sequence_id=2, num_tokens=3)
    assert cache.best_match([1, 2, 3, 4, 5]) == Match(sequence_id=1, num_tokens=4)
    assert cache.best_match([5, 1]) is None
    assert cache.best_match([1]) is None


def test_an_idle_sequence_wins_a_tie() -> None:
    cache = filled([1, 2, 3], [1, 2, 4])
    cache.retire(0)
    assert cache.best_match([1, 2, 9]) == Match(sequence_id=0, num_tokens=2)


def test_a_shared_beginning_takes_no_cells() -> None:
    cache = filled([1, 2, 3, 4])
    copy = cache.claim()
    assert copy is not None
    cache.share(0, copy, 3)
    assert cache.num_free_cells == NUM_CELLS - 4
    cache.drop(0)
    assert cache.num_free_cells == NUM_CELLS - 3
    cache.drop(copy)
    assert cache.num_free_cells == NUM_CELLS


def test_sharing_with_what_is_live_costs_nothing_with_what_is_idle_it_does() -> None:
    cache = filled([1, 2, 3, 4])
    match = Match(sequence_id=0, num_tokens=3)
    assert cache.num_live_shared(match) == 3
    cache.retire(0)
    assert (cache.num_live_shared(match), cache.num_live_cells) == (0, 0)


def test_the_least_recently_used_idle_sequence_goes_first() -> None:
    cache = filled([1], [2], [3])
    for cache_id in (1, 0, 2):
        cache.retire(cache_id)
    assert cache.oldest_idle() == 1
    assert cache.oldest_idle(keep=1) == 0
    cache.revive(1)
    assert cache.oldest_idle() == 0


def test_too_many_tokens_are_refused() -> None:
    cache = filled([1] * 10)
    with pytest.raises(CacheFullError, match="3 cells are wanted and 2 are free"):
        cache.extend(0, [1, 1, 1])


class Books(RuleBasedStateMachine):
    """Any order of operations leaves the books right: nothing leaks, nothing is counted twice."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = KvCache(NUM_CELLS, NUM_SEQUENCES)
        self.tokens: dict[int, list[int]] = {}

    def pick(self, index: int) -> int:
        return sorted(self.tokens)[index % len(self.tokens)]

    @rule()
    def claim(self) -> None:
        cache_id = self.cache.claim()
        assert (cache_id is None) == (len(self.tokens) == NUM_SEQUENCES)
        if cache_id is not None:
            assert cache_id not in self.tokens
            self.tokens[cache_id] = []

    @precondition(lambda self: self.tokens)
    @rule(index=st.integers(0, 9), tokens=st.lists(st.integers(1, 3), max_size=5))
    def extend(self, index: int, tokens: list[int]) -> None:
        cache_id = self.pick(index)
        if not self.cache.entries[cache_id].live:
            self.cache.revive(cache_id)
        if len(tokens) <= self.cache.num_free_cells:
            self.cache.extend(cache_id, tokens)
            self.tokens[cache_id] += tokens
        else:
            with pytest.raises(CacheFullError):
                self.cache.extend(cache_id, tokens)

    @precondition(lambda self: self.tokens)
    @rule(index=st.integers(0, 9), length=st.integers(0, 9))
    def share(self, index: int, length: int) -> None:
        source, target = self.pick(index), self.cache.claim()
        if target is not None:
            self.cache.share(source, target, length)
            self.tokens[target] = self.tokens[source][:length]

    @precondition(lambda self: self.tokens)
    @rule(index=st.integers(0, 9), length=st.integers(0, 9))
    def truncate(self, index: int, length: int) -> None:
        self.cache.truncate(self.pick(index), length)
        del self.tokens[self.pick(index)][length:]

    @precondition(lambda self: self.tokens)
    @rule(index=st.integers(0, 9))
    def retire(self, index: int) -> None:
        if self.cache.entries[self.pick(index)].live:
            self.cache.retire(self.pick(index))

    @precondition(lambda self: self.tokens)
    @rule(index=st.integers(0, 9))
    def drop(self, index: int) -> None:
        cache_id = self.pick(index)
        self.cache.drop(cache_id)
        del self.tokens[cache_id]

    @invariant()
    def the_books_are_right(self) -> None:
        entries = self.cache.entries
        assert {cache_id: entry.tokens for cache_id, entry in entries.items()} == self.tokens
        assert all(len(entry.cells) == len(entry.tokens) for entry in entries.values())
        held = {cell for entry in entries.values() for cell in entry.cells}
        live = {cell for entry in entries.values() if entry.live for cell in entry.cells}
        assert self.cache.num_free_cells == NUM_CELLS - len(held)
        assert self.cache.num_live_cells == len(live)


TestBooks = Books.TestCase
