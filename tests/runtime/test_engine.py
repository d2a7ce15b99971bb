"""The engine with a scripted model: events, prefix reuse, stopping, cancelling, failures of one request."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packer.errors import InputError
from runtime.engine.engine import Engine, EngineLoad
from runtime.engine.errors import (
    EngineStoppedError,
    GenerationFailedError,
    ModelUnavailableError,
    PromptTooLongError,
    QueueFullError,
)
from runtime.engine.sampling import SamplingParams
from runtime.engine.sequence import Failed, Finished, GenerationRequest, RequestHandle, TextDelta

if TYPE_CHECKING:
    from collections.abc import Callable


def request(prompt: list[int], **more: Any) -> GenerationRequest:
    return GenerationRequest(prompt_tokens=tuple(prompt), sampling=SamplingParams(), **more)


def read(handle: RequestHandle) -> tuple[str, Finished]:
    text = ""
    for event in handle.events():
        if isinstance(event, TextDelta):
            assert event.text
            text += event.text
        elif isinstance(event, Finished):
            return text, event
        else:
            raise event.error
    raise AssertionError("no last event")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def test_generates_until_the_end_token(engine: Engine) -> None:
    text, finished = read(engine.submit(request([10, 11, 12])))
    assert text == "hello"
    assert finished.reason == "stop"
    assert finished.token_ids == tuple(byte + 1 for byte in b"hello")
    assert (finished.usage.num_prompt_tokens, finished.usage.num_generated_tokens) == (3, 5)


def test_prompt_is_read_in_batches(engine: Engine, runner: Any) -> None:
    read(engine.submit(request(list(range(1, 21)), max_tokens=1)))
    assert [len(tokens) for tokens in runner.decoded] == [8, 8, 4]


def test_max_tokens(engine: Engine) -> None:
    text, finished = read(engine.submit(request([10], max_tokens=3)))
    assert (text, finished.reason) == ("hel", "length")


def test_a_full_context_ends_the_reply(engine: Engine, runner: Any) -> None:
    runner.reply = b"x" * 1000
    text, finished = read(engine.submit(request([10] * 60)))
    assert finished.reason == "length"
    assert len(text) + 60 == runner.context_tokens


def test_stop_string_across_tokens(engine: Engine, runner: Any) -> None:
    runner.reply = b"one.END two"
    text, finished = read(engine.submit(request([10], stop=("END",))))
    assert (text, finished.reason) == ("one.", "stop")


def test_characters_of_several_tokens_arrive_whole(engine: Engine, runner: Any) -> None:
    runner.reply = "é☃😀".encode()
    handle = engine.submit(request([10]))
    assert [event.text for event in handle.events() if isinstance(event, TextDelta)] == ["é", "☃", "😀"]


def test_the_common_beginning_is_not_read_again(engine: Engine, runner: Any) -> None:
    read(engine.submit(request([1, 2, 3, 4])))
    runner.steps.clear()
    _text, finished = read(engine.submit(request([1, 2, 3, 4, *(byte + 1 for byte in b"hello"), 7, 8])))
    assert runner.decoded[0] == [7, 8]
    assert finished.usage.num_reused_tokens == 9


def test_the_same_prompt_again_reads_only_its_last_token(engine: Engine, runner: Any) -> None:
    read(engine.submit(request([1, 2, 3, 4])))
    runner.steps.clear()
    text, _finished = read(engine.submit(request([1, 2, 3, 4])))
    assert text == "hello"
    assert runner.decoded[0] == [4]


def test_a_memory_that_cannot_be_cut_is_read_from_the_start(engine: Engine, runner: Any) -> None:
    read(engine.submit(request([1, 2, 3])))
    runner.can_truncate = False
    runner.steps.clear()
    text, finished = read(engine.submit(request([1, 2, 9])))
    assert text == "hello"
    assert finished.usage.num_reused_tokens == 0
    assert runner.decoded[0] == [1, 2, 9]


def test_too_long_a_prompt_is_refused_with_the_numbers(engine: Engine) -> None:
    with pytest.raises(PromptTooLongError, match="64 tokens long and the context holds 64"):
        engine.submit(request([1] * 64))


def test_an_empty_prompt_is_refused(engine: Engine) -> None:
    with pytest.raises(GenerationFailedError, match="empty prompt"):
        engine.submit(request([]))


def test_a_failing_decode_fails_only_its_request(engine: Engine) -> None:
    bad = engine.submit(request([1, 2, 666]))
    good = engine.submit(request([1, 2, 3]))
    event = bad.poll(5)
    assert isinstance(event, Failed)
    assert "KV cache" in str(event.error)
    assert read(good)[0] == "hello"


def test_cancel_while_the_prompt_is_read(engine: Engine, runner: Any) -> None:
    runner.gate = threading.Semaphore(0)
    handle = engine.submit(request([1] * 40))
    runner.gate.release()
    wait_until(lambda: len(runner.decoded) == 1)
    handle.cancel()
    event = handle.poll(5)
    assert isinstance(event, Finished)
    assert event.reason == "cancelled"
    assert len(runner.decoded) == 1
    runner.gate = None
    assert read(engine.submit(request([1] * 40)))[0] == "hello"


def test_cancel_while_generating_frees_the_slot(engine: Engine, runner: Any) -> None:
    runner.reply = b"x" * 1000
    handle = engine.submit(request([1]))
    assert isinstance(handle.poll(5), TextDelta)
    handle.cancel()
    runner_text = list(handle.events())[-1]
    assert isinstance(runner_text, Finished)
    runner.reply = b"next"
    assert read(engine.submit(request([1])))[0] == "next"


def test_leaving_the_loop_cancels(engine: Engine, runner: Any) -> None:
    runner.gate = threading.Semaphore(3)
    runner.reply = b"x" * 1000
    handle = engine.submit(request([1]))
    events = handle.events()
    next(events)
    events.close()
    assert handle.cancelled


def test_a_cancelled_waiting_request_is_never_run(engine: Engine, runner: Any) -> None:
    runner.gate = threading.Semaphore(0)
    first = engine.submit(request([1]))
    second = engine.submit(request([2]))
    second.cancel()
    runner.gate = None
    read(first)
    event = second.poll(5)
    assert isinstance(event, Finished)
    assert [2] not in runner.decoded


def test_a_stray_interrupt_only_repeats_the_step(engine: Engine, runner: Any) -> None:
    runner.gate = threading.Semaphore(0)
    handle = engine.submit(request([1, 2, 3]))
    wait_until(lambda: engine.current_load().num_running == 1)
    runner.interrupt()
    wait_until(lambda: not runner.interrupted.is_set())
    runner.gate = None
    assert read(handle)[0] == "hello"


def test_the_queue_is_bounded(engine: Engine, runner: Any) -> None:
    runner.gate = threading.Semaphore(0)
    handles = [engine.submit(request([1]))]
    wait_until(lambda: engine.current_load().num_running == 1)
    handles += [engine.submit(request([1])) for _ in range(3)]
    with pytest.raises(QueueFullError, match="3 requests wait"):
        engine.submit(request([1]))
    runner.gate = None
    assert [read(handle)[0] for handle in handles] == ["hello"] * 4


def test_stop_fails_what_runs_and_what_waits(engine: Engine, runner: Any) -> None:
    runner.gate = threading.Semaphore(0)
    handles = [engine.submit(request([1])), engine.submit(request([2]))]
    started_s = time.monotonic()
    assert engine.stop(5)
    assert time.monotonic() - started_s < 1
    events = [handle.poll(1) for handle in handles]
    assert all(isinstance(event, Failed) and isinstance(event.error, EngineStoppedError) for event in events)
    with pytest.raises(EngineStoppedError):
        engine.submit(request([1]))


def test_an_error_while_loading_is_kept() -> None:
    def load(_progress: object) -> Any:
        raise InputError("model.gguf: can't be loaded")

    engine = Engine(load)
    engine.start()
    status = engine.wait_loaded(5)
    assert status.state == "failed"
    assert isinstance(status.error, InputError)
    with pytest.raises(ModelUnavailableError, match="can't be loaded"):
        engine.submit(request([1]))
    assert engine.stop(1)


def test_stop_ends_loading(runner: Any) -> None:
    def load(progress: Callable[[float], bool]) -> Any:
        while progress(0.5):
            time.sleep(0.002)
        raise InputError("loading was aborted")

    engine = Engine(load)
    engine.start()
    wait_until(lambda: engine.status.progress == 0.5)
    assert engine.stop(5)
    assert engine.status.state == "stopped"


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompts=st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=30), min_size=1, max_size=6),
    cuttable=st.booleans(),
)
def test_any_run_of_prompts_gives_every_reply(runner_class: Any, prompts: list[list[int]], cuttable: bool) -> None:
    runner = runner_class(b"reply")
    runner.can_truncate = cuttable
    engine = Engine(lambda _progress: runner)
    engine.start()
    engine.wait_loaded(5)
    try:
        for prompt in prompts:
            text, finished = read(engine.submit(request(prompt)))
            assert text == "reply"
            assert finished.usage.num_reused_tokens < len(prompt)
            assert any(runner.cached(cache_id)[: len(prompt)] == prompt for cache_id in runner.cells)
    finally:
        assert engine.stop(5)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(
        st.tuples(st.lists(st.integers(1, 2), min_size=1, max_size=30), st.sampled_from([(), (0.5,), (0.0,)])),
        min_size=1,
        max_size=12,
    ),
    can_save=st.booleans(),
)
def test_adapters_share_neither_steps_nor_cells(
    runner_class: Any, asked: list[tuple[list[int], tuple[float, ...]]], can_save: bool
) -> None:
    """The runner refuses a step with different adapters, and one on cells that were made with others."""
    runner = runner_class(b"reply", num_slots=3, context_tokens=96)
    runner.can_save = can_save
    engine = Engine(lambda _progress: runner)
    engine.start()
    engine.wait_loaded(5)
    try:
        for handle in [engine.submit(request(prompt, adapters=adapters)) for prompt, adapters in asked]:
            assert read(handle)[0] == "reply"
    finally:
        assert engine.stop(5)


def test_a_chat_with_adapters_goes_on_from_the_swap_space(runner_class: Any) -> None:
    runner = runner_class(b"reply", num_slots=1, context_tokens=64)
    engine = Engine(lambda _progress: runner)
    engine.start()
    engine.wait_loaded(5)
    try:
        chat, adapters = [1] * 20, (0.5,)
        read(engine.submit(request(chat, adapters=adapters)))
        for other in (2, 3):
            read(engine.submit(request([other] * 20)))
        assert read(engine.submit(request([*chat, 4])))[1].usage.num_reused_tokens == 0
        assert read(engine.submit(request([*chat, 4], adapters=adapters)))[1].usage.num_reused_tokens == 20
        assert runner.num_loaded == 1
    finally:
        assert engine.stop(5)


def test_many_clients_at_once(runner_class: Any) -> None:
    runner = runner_class(num_slots=4, context_tokens=256)
    runner.gate = threading.Semaphore(0)
    engine = Engine(lambda _progress: runner)
    engine.start()
    engine.wait_loaded(5)
    texts: list[str] = []

    def ask(number: int) -> None:
        for turn in range(5):
            handle = engine.submit(request([1 + number, 2, 3, 4 + turn] * 3))
            if (number + turn) % 3 == 0:
                handle.poll(5)
                handle.cancel()
                assert isinstance(list(handle.events())[-1], Finished)
            else:
                texts.append(read(handle)[0])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: engine.current_load().num_running + engine.current_load().num_waiting == 6)
    runner.gate = None
    for thread in threads:
        thread.join(10)
    assert texts == ["hello"] * 20
    assert max(len(chunks) for chunks in runner.steps) > 1
    assert engine.current_load().num_running == 0
    assert engine.stop(5)
    assert runner.samplers_open == 0


@pytest.mark.parametrize("runner", [{"num_slots": 2}], indirect=True)
def test_a_cancelled_request_does_not_cut_short_what_others_wait_for(engine: Engine, runner: Any) -> None:
    runner.gate = threading.Semaphore(0)
    first, second = engine.submit(request([1])), engine.submit(request([2]))
    runner.gate.release()
    wait_until(lambda: engine._worker is not None and len(engine._worker.in_flight) == 2)
    first.cancel()
    assert not runner.interrupted.is_set()
    second.cancel()
    for handle in (first, second):
        last = list(handle.events())[-1]
        assert isinstance(last, Finished)
        assert last.reason == "cancelled"
    runner.gate = None
    assert read(engine.submit(request([3])))[0] == "hello"


def test_how_busy_it_is(engine: Engine, runner: Any) -> None:
    assert engine.current_load() == EngineLoad(num_running=0, num_waiting=0, num_cells_used=0, num_cells=64)
    read(engine.submit(request([1, 2, 3])))
    assert engine.current_load().num_cells_used == 8
    runner.gate = threading.Semaphore(0)
    handles = [engine.submit(request([9])) for _ in range(3)]
    wait_until(lambda: engine.current_load().num_waiting == 2)
    assert engine.current_load().num_running == 1
    runner.gate = None
    assert [read(handle)[0] for handle in handles] == ["hello"] * 3


def test_who_comes_during_the_warm_up_ends_it(runner_class: Any) -> None:
    runner = runner_class()
    began = threading.Event()

    def warm_up(_cache_id: int) -> None:
        began.set()
        assert runner.interrupted.wait(5), "the request waits for the warm-up"

    runner.warm_up = warm_up
    engine = Engine(lambda _progress: runner)
    engine.start()
    try:
        assert began.wait(5)
        assert read(engine.submit(request([10, 11, 12])))[0] == "hello"
    finally:
        assert engine.stop()
