"""Each step of a recovery, with injected failures: what is evicted, how the batch is cut, who fails in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime.engine.sequence import Failed
from runtime.engine.worker import SMALLEST_RETRY_TOKENS
from tests.runtime.test_worker import Bench, events_of, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.engine.model_runner import Chunk


class Faults:
    """Lets batches fail for which ``decide`` says so, and keeps the sizes of all attempts."""

    def __init__(self, runner: Any, decide: Any) -> None:
        self.attempts: list[list[int]] = []
        self._decide = decide
        runner.fails = self

    def __call__(self, chunks: Sequence[Chunk]) -> bool:
        self.attempts.append([len(chunk.tokens) for chunk in chunks])
        return bool(self._decide(chunks))


@pytest.fixture
def bench(runner_class: Any) -> Bench:
    return Bench(runner_class(num_slots=8, context_tokens=256, batch_tokens=32))


def running(bench: Bench, count: int) -> list[Any]:
    """So many streams, each with its first token."""
    bench.runner.reply = b"x" * 30
    handles = [bench.submit([number] * 2, max_tokens=30) for number in range(1, count + 1)]
    for _ in range(4):
        bench.step()
    assert all(one.num_generated for one in bench.worker.running)
    return handles


def test_a_failing_batch_is_halved_until_the_culprit_is_alone(bench: Bench) -> None:
    handles = running(bench, 8)
    bench.worker.costs.group_size = lambda num_streams: num_streams  # type: ignore[method-assign]
    culprit = bench.worker.running[5]
    faults = Faults(bench.runner, lambda chunks: any(chunk.cache_id == culprit.cache_id for chunk in chunks))
    while culprit in bench.worker.running:
        bench.step()
    sizes = [len(attempt) for attempt in faults.attempts]
    first = sizes.index(8)
    assert sizes[first : first + 7] == [8, 4, 4, 2, 1, 1, 2]
    bench.run()
    assert [isinstance(events_of(handle)[-1], Failed) for handle in handles] == [n == 5 for n in range(8)]


def test_idle_chats_go_before_the_batch_is_cut(bench: Bench) -> None:
    for number in (1, 2, 3):
        bench.submit([number] * 5, max_tokens=1)
        bench.run()
    assert len([entry for entry in bench.worker.cache.entries.values() if not entry.live]) == 3
    handles = running(bench, 2)
    left = [1]
    faults = Faults(bench.runner, lambda chunks: len(chunks) == 2 and left and left.pop())
    while left:
        bench.step()
    assert not [entry for entry in bench.worker.cache.entries.values() if not entry.live]
    assert [len(attempt) for attempt in faults.attempts][-2:] == [2, 2], "the whole batch is tried again, not cut"
    bench.run()
    assert [text_of(handle) for handle in handles] == ["x" * 30] * 2


def test_a_single_prompt_is_cut_until_it_is_small_and_then_fails(runner_class: Any) -> None:
    bench = Bench(runner_class(batch_tokens=256, context_tokens=512))
    faults = Faults(bench.runner, lambda _chunks: True)
    handle = bench.submit([1] * 256, max_tokens=4)
    bench.run()
    (event,) = events_of(handle)
    assert isinstance(event, Failed)
    sizes = [attempt[0] for attempt in faults.attempts]
    assert sizes == [256, 128, 64, 32]
    assert sizes[-1] == SMALLEST_RETRY_TOKENS


def test_a_failure_that_passes_costs_nobody_anything(bench: Bench) -> None:
    handles = running(bench, 4)
    left = [2]

    def passing(_chunks: Any) -> bool:
        left[0] -= 1
        return left[0] >= 0

    Faults(bench.runner, passing)
    bench.run()
    assert [text_of(handle) for handle in handles] == ["x" * 30] * 4


def test_everything_fails_when_nothing_works_and_the_next_request_is_served(bench: Bench) -> None:
    handles = running(bench, 4)
    Faults(bench.runner, lambda _chunks: True)
    bench.run(limit=100)
    assert all(isinstance(events_of(handle)[-1], Failed) for handle in handles)
    assert bench.worker.cache.num_live_cells == 0
    bench.runner.fails = lambda _chunks: False
    handle = bench.submit([7], max_tokens=3)
    bench.run()
    assert text_of(handle) == "xxx"
    assert bench.runner.samplers_open == 0


@pytest.mark.parametrize("can_truncate", [True, False])
def test_after_any_single_failure_every_reply_is_whole(runner_class: Any, can_truncate: bool) -> None:
    """The n-th batch fails once, for every n of a run."""
    for failing in range(1, 25):
        runner = runner_class(b"a reply of some length", num_slots=3, context_tokens=128)
        runner.can_truncate = can_truncate
        bench = Bench(runner)
        count = [0]

        def once(_chunks: Any, count: list[int] = count, failing: int = failing) -> bool:
            count[0] += 1
            return count[0] == failing

        runner.fails = once
        handles = [bench.submit([9] * 4 + [number] * number, max_tokens=30) for number in (1, 2, 3, 4)]
        bench.run()
        ends = [events_of(handle) for handle in handles]
        failed = [isinstance(events[-1], Failed) for events in ends]
        assert sum(failed) <= 1
        if can_truncate:
            assert not any(failed) or count[0] >= failing
        assert runner.samplers_open == 0
