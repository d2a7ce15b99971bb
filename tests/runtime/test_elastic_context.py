"""The KV cache grows with the chats and shrinks when memory is short: nothing is lost, and one request pays for it."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.engine.engine import Engine
from runtime.engine.errors import GenerationFailedError
from runtime.engine.sampling import SamplingParams
from runtime.engine.scheduler import next_size
from runtime.engine.sequence import Failed, Finished, GenerationRequest
from tests.runtime.test_worker import Bench, events_of

REPLY = b"a reply that is longer than the share"


def small_bench(runner_class: Any, *, first_cells: int = 16, **more: Any) -> Bench:
    runner = runner_class(REPLY, context_tokens=1024, **more)
    runner.num_cells = runner.least_cells = first_cells
    return Bench(runner)


def last_of(handle: Any) -> Any:
    return events_of(handle)[-1]


@pytest.mark.parametrize(
    ("now", "wanted", "limit", "size"),
    [(2048, 2048, 16384, 2048), (2048, 2049, 16384, 3072), (2048, 9000, 16384, 10496), (3072, 3073, 4000, 4000)],
)
def test_it_grows_by_half_to_the_limit(now: int, wanted: int, limit: int, size: int) -> None:
    assert next_size(now, wanted, limit) == size


def test_a_chat_that_grows_keeps_what_it_read(runner_class: Any) -> None:
    bench = small_bench(runner_class)
    handle = bench.submit([1] * 14)
    bench.run()
    assert last_of(handle).reason == "stop"
    assert bench.runner.num_cells > 16
    assert sum(len(chunk.tokens) for chunks in bench.runner.steps for chunk in chunks) == 14 + len(REPLY)


def test_content_that_can_not_be_moved_is_read_anew(runner_class: Any) -> None:
    bench = small_bench(runner_class)
    bench.runner.loses_content = True
    handle = bench.submit([1] * 14)
    bench.run()
    assert last_of(handle).reason == "stop"


def test_idle_chats_stay_while_the_cache_can_grow(runner_class: Any) -> None:
    bench = small_bench(runner_class)
    bench.submit([1] * 14)
    bench.run()
    bench.submit([2] * 200)
    bench.run()
    again = bench.submit([1] * 14 + [5])
    bench.run()
    assert last_of(again).usage.num_reused_tokens == 14


def test_without_memory_the_one_that_asks_fails_and_the_other_goes_on(runner_class: Any) -> None:
    bench = small_bench(runner_class, first_cells=64, num_slots=2)
    bench.runner.refuses_to_grow = True
    first = bench.submit([1] * 4)
    bench.step()
    second = bench.submit([2] * 300)
    bench.run()
    failed = last_of(second)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, GenerationFailedError)
    assert "no memory is free" in str(failed.error)
    other = last_of(first)
    assert isinstance(other, Finished)
    assert other.reason == "stop"


def test_it_shrinks_only_when_idle_and_memory_is_short(runner_class: Any) -> None:
    bench = small_bench(runner_class)
    bench.submit([1] * 200)
    bench.step()
    bench.runner.memory_is_short = True
    assert not bench.worker.shrink_when_short()
    bench.run()
    bench.runner.memory_is_short = False
    assert not bench.worker.shrink_when_short()
    bench.runner.memory_is_short = True
    assert bench.worker.shrink_when_short()
    assert bench.runner.num_cells == bench.worker.cache.num_cells == bench.worker.cache.num_free_cells == 16
    handle = bench.submit([1] * 20)
    bench.run()
    assert last_of(handle).reason == "stop"


def test_an_idle_engine_gives_memory_back(runner_class: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.engine.engine.IDLE_CHECK_S", 0.01)
    runner = runner_class(REPLY, context_tokens=1024)
    runner.num_cells = runner.least_cells = 16
    engine = Engine(lambda _progress: runner)
    engine.start()
    try:
        assert engine.wait_loaded(10).state == "ready"
        request = GenerationRequest(prompt_tokens=(1,) * 40, sampling=SamplingParams())
        assert list(engine.submit(request).events())[-1].reason == "stop"
        assert runner.num_cells > 16
        runner.memory_is_short = True
        for _ in range(1000):
            if runner.num_cells == 16:
                break
            engine.wait_loaded(0)
            runner.interrupted.wait(0.01)
        assert runner.num_cells == 16
    finally:
        engine.stop()
