"""Prompts that were read beforehand: restored when a request begins with them, and never in anybody's way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.runtime.test_worker import Bench, events_of

PROMPT = [*range(1, 41)]


def bench_with(runner_class: Any, *prompts: list[int], **more: Any) -> Bench:
    runner = runner_class(**{"context_tokens": 128, "num_slots": 2, **more})
    runner.packed_prompts = list(prompts)
    return Bench(runner)


def reused_by(bench: Bench, prompt: list[int]) -> int:
    """Tokens of a prompt that the request with it, run to its end, did not read."""
    handle = bench.submit(prompt)
    bench.run()
    usage = events_of(handle)[-1].usage
    return int(usage.num_reused_tokens)


def test_the_first_request_reads_only_what_is_new(runner_class: Any) -> None:
    bench = bench_with(runner_class, PROMPT)
    assert reused_by(bench, [*PROMPT, 50, 51, 52]) == 40
    assert bench.worker.num_prompt_tokens_run == 3


def test_it_is_there_before_the_first_request(runner_class: Any) -> None:
    bench = bench_with(runner_class, PROMPT, [9] * 30)
    bench.worker.warm_up()
    bench.check()
    assert bench.runner.num_warm_ups == 1
    assert bench.worker.cache.num_idle_cells == 40
    bench.runner.can_restore = False
    assert reused_by(bench, [*PROMPT, 50, 51, 52]) == 40
    assert reused_by(bench, [*PROMPT, 60, 61, 62]) == 40


@pytest.mark.parametrize(("can_restore", "context_tokens"), [(False, 128), (True, 64)])
def test_without_room_for_it_or_when_it_fails_the_cache_stays_empty(
    runner_class: Any, can_restore: bool, context_tokens: int
) -> None:
    bench = bench_with(runner_class, PROMPT, context_tokens=context_tokens)
    bench.runner.can_restore = can_restore
    bench.worker.warm_up()
    bench.check()
    assert not bench.worker.cache.entries
    bench.submit([1, 2])
    bench.run()


def test_the_last_token_is_always_read(runner_class: Any) -> None:
    assert reused_by(bench_with(runner_class, PROMPT), PROMPT) == 39


def test_a_part_of_it_is_restored_where_it_is_at_least_half(runner_class: Any) -> None:
    assert reused_by(bench_with(runner_class, PROMPT), [*PROMPT[:30], 99, 98]) == 30
    assert reused_by(bench_with(runner_class, PROMPT), [*PROMPT[:19], 99, 98]) == 0
    assert reused_by(bench_with(runner_class, PROMPT), [7] * 40) == 0


def test_a_memory_that_can_not_be_cut_takes_all_or_nothing(runner_class: Any) -> None:
    bench = bench_with(runner_class, PROMPT)
    bench.runner.can_truncate = False
    assert reused_by(bench, [*PROMPT[:30], 99, 98]) == 0
    for number in range(5):
        assert reused_by(bench, [*PROMPT, 50 + number, 60]) == 40, "a fresh copy for each chat"


def test_the_longest_is_chosen(runner_class: Any) -> None:
    bench = bench_with(runner_class, PROMPT[:20], PROMPT, [*PROMPT[:25], 77])
    assert reused_by(bench, [*PROMPT, 50, 51]) == 40


def test_one_that_fails_is_read_and_not_tried_again(runner_class: Any) -> None:
    bench = bench_with(runner_class, PROMPT)
    bench.runner.can_restore = False
    assert reused_by(bench, [*PROMPT, 50]) == 0
    bench.runner.can_restore = True
    assert reused_by(bench, [9, *PROMPT, 50]) == 0
    assert reused_by(bench, [*PROMPT, 51]) == 40, "what the first one read is in the cache"


def test_requests_that_come_together_share_it(runner_class: Any) -> None:
    bench = bench_with(runner_class, PROMPT)
    handles = [bench.submit([*PROMPT, 50 + number]) for number in range(2)]
    bench.run()
    assert [events_of(handle)[-1].usage.num_reused_tokens for handle in handles] == [40, 40]
    assert bench.worker.num_prompt_tokens_run == 2


def test_the_cache_grows_for_it_and_it_outlives_growing(runner_class: Any) -> None:
    runner = runner_class(b"a reply that is longer than what is left", context_tokens=1024)
    runner.packed_prompts = [PROMPT]
    runner.num_cells = runner.least_cells = 16
    bench = Bench(runner)
    assert reused_by(bench, [*PROMPT, 50, 51]) == 40
    assert runner.num_cells >= 42
    assert bench.worker.num_prompt_tokens_run == 2


@pytest.mark.parametrize("loses_content", [True, False])
def test_memory_that_is_short_makes_it_a_miss(runner_class: Any, loses_content: bool) -> None:
    bench = bench_with(runner_class, PROMPT)
    bench.runner.num_cells = bench.runner.least_cells = 16
    bench.runner.refuses_to_grow, bench.runner.loses_content = True, loses_content
    bench.worker = type(bench.worker)(bench.runner, clock=bench.clock)
    handle = bench.submit([*PROMPT[:25], 3])
    bench.run()
    assert len(events_of(handle)) > 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompts=st.lists(
        st.tuples(st.integers(0, 45), st.lists(st.integers(60, 62), min_size=1, max_size=6)), min_size=1, max_size=12
    ),
    can_truncate=st.booleans(),
    first_cells=st.sampled_from([32, 64, 128]),
)
def test_whatever_comes_the_books_are_right(
    runner_class: Any, prompts: list[tuple[int, list[int]]], can_truncate: bool, first_cells: int
) -> None:
    runner = runner_class(context_tokens=128, num_slots=3)
    runner.packed_prompts = [PROMPT, PROMPT[:20]]
    runner.can_truncate = can_truncate
    runner.num_cells = runner.least_cells = first_cells
    bench = Bench(runner)
    handles = [bench.submit([*PROMPT[:length], *ending]) for length, ending in prompts]
    bench.run()
    assert all(events_of(handle)[-1].reason == "stop" for handle in handles)
