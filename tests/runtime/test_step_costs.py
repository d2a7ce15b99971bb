"""Learning what steps cost: the group that wins on machines of all kinds, and how much of a prompt a step reads."""

from __future__ import annotations

import random

import pytest

from runtime.engine.step_costs import PAUSE_S, TILE_TOKENS, StepCosts, candidate_sizes

# Milliseconds of a step by number of rows: total tokens a second measured at 1, 2, 3, 4 and 8 streams of
# llama.cpp's batched bench on one processor (docs: 74/80/93/97/125, 73/85/99/143/167 and 55/45/59/70/103).
Q4_K_M = {1: 13.5, 2: 25.0, 3: 32.3, 4: 41.2, 8: 64.0}
Q4_0 = {1: 13.7, 2: 23.5, 3: 30.3, 4: 28.0, 8: 47.9}
Q8_0 = {1: 18.2, 2: 44.4, 3: 50.8, 4: 57.1, 8: 77.7}
LINEAR = {size: 10.0 * size for size in range(1, 9)}
BATCHING_HURTS = {size: 10.0 * size**1.5 for size in range(1, 9)}


def cost_ms(table: dict[int, float], size: int) -> float:
    if size in table:
        return table[size]
    below, above = max(key for key in table if key < size), min(key for key in table if key > size)
    return table[below] + (table[above] - table[below]) * (size - below) / (above - below)


def rate(table: dict[int, float], num_streams: int, *, seconds: float = 60, noise: float = 0.0) -> float:
    """Tokens a second of streams in groups of the size that is learned, from knowing nothing on."""
    costs, chance = StepCosts(), random.Random(1)
    elapsed_s, num_tokens = 0.0, 0
    while elapsed_s < seconds:
        size = costs.group_size(num_streams)
        assert 1 <= size <= num_streams
        duration_s = cost_ms(table, size) / 1000 * (1 + noise * chance.random())
        costs.record(num_rows=size, num_prompt_tokens=0, duration_s=duration_s)
        elapsed_s += duration_s
        num_tokens += size
    return num_tokens / elapsed_s


@pytest.mark.parametrize("num_streams", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("table", [Q4_K_M, Q4_0, Q8_0, LINEAR, BATCHING_HURTS])
def test_never_worse_than_all_together_or_one_by_one(table: dict[int, float], num_streams: int) -> None:
    together = num_streams / cost_ms(table, num_streams) * 1000
    one_by_one = 1000 / cost_ms(table, 1)
    assert rate(table, num_streams) >= 0.97 * max(together, one_by_one)


def test_two_slow_streams_take_turns() -> None:
    assert rate(Q8_0, 2) >= 1.15 * 2 / 44.4 * 1000


def test_noise_does_not_confuse_it() -> None:
    quiet, noisy = rate(Q8_0, 2), rate(Q8_0, 2, noise=0.3)
    assert noisy >= 0.9 * quiet / 1.15


def test_one_hiccup_changes_nothing() -> None:
    costs = StepCosts()
    for _ in range(20):
        size = costs.group_size(2)
        costs.record(num_rows=size, num_prompt_tokens=0, duration_s=Q4_K_M[size] / 1000)
    assert costs.group_size(2) == 2
    costs.record(num_rows=2, num_prompt_tokens=0, duration_s=5.0)
    costs.record(num_rows=2, num_prompt_tokens=0, duration_s=Q4_K_M[2] / 1000)
    assert costs.group_size(2) in {1, 2}
    for _ in range(20):
        size = costs.group_size(2)
        costs.record(num_rows=size, num_prompt_tokens=0, duration_s=Q4_K_M[size] / 1000)
    assert costs.group_size(2) == 2


def test_it_learns_that_costs_have_changed() -> None:
    costs, chosen = StepCosts(), []
    for number in range(1500):
        table = Q8_0 if number < 100 else Q4_0
        chosen.append(costs.group_size(2))
        costs.record(num_rows=chosen[-1], num_prompt_tokens=0, duration_s=table[chosen[-1]] / 1000)
    assert chosen[50:100].count(1) >= 45
    assert chosen[-100:].count(2) >= 95


@pytest.mark.parametrize(("num_streams", "sizes"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (6, [1, 2, 3, 4, 6])])
def test_candidates(num_streams: int, sizes: list[int]) -> None:
    assert candidate_sizes(num_streams) == sizes


def test_a_step_is_as_long_as_the_pause_allows_in_whole_tiles() -> None:
    costs = StepCosts()
    assert costs.step_tokens(1) == TILE_TOKENS
    costs.record(num_rows=0, num_prompt_tokens=500, duration_s=0.5)
    assert costs.step_tokens(1) == 192 <= PAUSE_S * 1000
    costs.record(num_rows=1, num_prompt_tokens=0, duration_s=0.1)
    assert costs.step_tokens(1) == 576
    slow = StepCosts()
    slow.record(num_rows=0, num_prompt_tokens=100, duration_s=10.0)
    assert slow.step_tokens(1) == TILE_TOKENS


def test_the_tail_of_a_prompt_teaches_nothing() -> None:
    costs = StepCosts()
    costs.record(num_rows=0, num_prompt_tokens=500, duration_s=0.5)
    costs.record(num_rows=1, num_prompt_tokens=2, duration_s=1.0)
    assert costs.step_tokens(1) == 192
