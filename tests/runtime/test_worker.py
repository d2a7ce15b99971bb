"""Whole runs of the worker with a scripted model, step by step and without threads: nothing lost, nothing leaked."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.engine.endings import discard, finished
from runtime.engine.errors import GenerationFailedError
from runtime.engine.sampling import SamplingParams
from runtime.engine.sequence import Failed, Finished, GenerationRequest, RequestHandle, Sequence, TextDelta
from runtime.engine.worker import WORTH_WAITING_TOKENS, Worker

if TYPE_CHECKING:
    from runtime.engine.sequence import Event

FAILING_TOKEN = 666


class Bench:
    """A worker with a queue before it, as the engine has, but stepped by hand."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner
        self.now_s = 0.0
        self.worker = Worker(runner, clock=self.clock)
        self.waiting: deque[Sequence] = deque()
        self.num_submitted = 0

    def clock(self) -> float:
        self.now_s += 0.01
        return self.now_s

    def submit(self, prompt: list[int], **more: Any) -> RequestHandle:
        handle = RequestHandle()
        request = GenerationRequest(prompt_tokens=tuple(prompt), sampling=SamplingParams(), **more)
        self.waiting.append(Sequence.from_request(request, handle, self.num_submitted))
        self.num_submitted += 1
        return handle

    def step(self) -> None:
        for gone in [one for one in self.waiting if one.handle.cancelled]:
            self.waiting.remove(gone)
            discard(gone, finished(gone, "cancelled"))
        while self.waiting and self.worker.can_admit(self.waiting[0]):
            self.worker.admit(self.waiting.popleft())
        self.worker.step()
        self.waiting.extendleft(reversed(self.worker.take_preempted()))
        self.check()

    def run(self, limit: int = 3000) -> None:
        while self.waiting or self.worker.running:
            assert limit > 0, "a sequence starves"
            limit -= 1
            self.step()

    def check(self) -> None:
        """The books agree with the device, and hold nothing but what runs and what is kept for its beginning."""
        cache, runner = self.worker.cache, self.runner
        in_books = {cache_id: entry.tokens for cache_id, entry in cache.entries.items() if entry.tokens}
        on_device = {cache_id: runner.cached(cache_id) for cache_id in runner.cells if runner.cells[cache_id]}
        assert in_books == on_device
        held = {cell for cells in runner.cells.values() for cell, _token in cells}
        assert cache.num_free_cells == cache.num_cells - len(held)
        live = {cache_id for cache_id, entry in cache.entries.items() if entry.live}
        assert live == {one.cache_id for one in self.worker.running if one.cache_id is not None}
        for one in self.worker.running:
            if one.cache_id is not None:
                assert cache.entries[one.cache_id].tokens == one.tokens[: one.num_computed]
        assert len(self.worker.running) <= runner.num_slots


def events_of(handle: RequestHandle) -> list[Event]:
    events = []
    while (event := handle.poll(0)) is not None:
        events.append(event)
    return events


def text_of(handle: RequestHandle) -> str:
    *deltas, last = events_of(handle)
    assert isinstance(last, Finished), last
    return "".join(event.text for event in deltas if isinstance(event, TextDelta))


@pytest.fixture
def bench(runner_class: Any) -> Bench:
    """Four slots over a cache of 64 tokens."""
    return Bench(runner_class(num_slots=4))


def test_streams_run_together_and_join_at_any_step(bench: Bench) -> None:
    bench.runner.reply = b"x" * 12
    first = bench.submit([1, 2], max_tokens=12)
    for _ in range(3):
        bench.step()
    second = bench.submit([3, 4], max_tokens=12)
    bench.run()
    assert text_of(first) == text_of(second) == "x" * 12
    assert max(len(chunks) for chunks in bench.runner.steps) == 2
    assert len(bench.runner.steps) < 24


def test_a_stream_goes_on_while_a_long_prompt_is_read(bench: Bench) -> None:
    bench.runner.reply = b"x" * 20
    stream = bench.submit([1], max_tokens=20)
    bench.step()
    bench.submit([2] * 30, max_tokens=1)
    for _ in range(3):
        before = len(bench.runner.steps)
        bench.step()
        (chunks,) = bench.runner.steps[before:]
        assert [len(chunk.tokens) for chunk in chunks] == [1, 7]
    bench.run()
    assert text_of(stream) == "x" * 20


def test_waits_until_prompt_and_reply_fit(bench: Bench) -> None:
    bench.submit([1] * 10, max_tokens=30)
    bench.submit([2] * 10, max_tokens=20)
    bench.submit([3] * 2, max_tokens=2)
    bench.step()
    assert [one.order for one in bench.worker.running] == [0]
    bench.run()
    assert bench.worker.cache.num_live_cells == 0


def test_a_running_chat_lends_its_beginning(bench: Bench) -> None:
    bench.runner.reply = b"x" * 20
    system = [9] * 12
    bench.submit([*system, 1], max_tokens=15)
    for _ in range(4):
        bench.step()
    second = bench.submit([*system, 2], max_tokens=2)
    bench.run()
    last = events_of(second)[-1]
    assert isinstance(last, Finished)
    assert last.usage.num_reused_tokens == 12


def test_the_same_beginning_at_the_same_time_is_read_once(bench: Bench) -> None:
    system = [9] * 40
    handles = [bench.submit([*system, number], max_tokens=2) for number in (1, 2, 3)]
    bench.run()
    reused = [events_of(handle)[-1].usage.num_reused_tokens for handle in handles]  # type: ignore[union-attr]
    assert reused[0] == 0
    assert min(reused[1:]) > 40 - WORTH_WAITING_TOKENS
    num_run = sum(len(chunk.tokens) for chunks in bench.runner.steps for chunk in chunks)
    assert num_run == 3 * 41 - sum(reused) + 3


def test_two_chats_with_one_system_prompt_keep_their_pasts(bench: Bench) -> None:
    system = [9] * 10
    for prompt in ([*system, 1], [*system, 2]):
        bench.submit(prompt, max_tokens=3)
        bench.run()
    handles = [bench.submit([*system, last, 105, 102, 7]) for last in (1, 2)]
    bench.run()
    reused = [events_of(handle)[-1].usage.num_reused_tokens for handle in handles]  # type: ignore[union-attr]
    assert reused == [13, 13]


def test_idle_chats_make_room(bench: Bench) -> None:
    for number in (1, 2, 3):
        bench.submit([number] * 18, max_tokens=2)
        bench.run()
    handle = bench.submit([4] * 60, max_tokens=4)
    bench.run()
    assert text_of(handle) == "hell"


def test_when_room_runs_out_the_youngest_waits_and_continues(bench: Bench) -> None:
    bench.runner.reply = bytes(range(97, 123)) + b"0123456789"
    handles = [bench.submit([number] * 4) for number in (1, 2, 3)]
    for _ in range(200):
        bench.step()
        if bench.waiting:
            break
    assert [one.order for one in bench.waiting] == [2]
    bench.run()
    assert [text_of(handle) for handle in handles] == [bench.runner.reply.decode()] * 3


def test_a_cancelled_request_leaves_within_a_step(bench: Bench) -> None:
    bench.runner.reply = b"x" * 20
    one, two = bench.submit([1], max_tokens=20), bench.submit([2], max_tokens=20)
    bench.step()
    one.cancel()
    bench.step()
    assert len(bench.worker.running) == 1
    bench.run()
    assert text_of(two) == "x" * 20
    last = events_of(one)[-1]
    assert isinstance(last, Finished)
    assert last.reason == "cancelled"


def test_a_failing_batch_fails_only_the_request_that_causes_it(bench: Bench) -> None:
    good = [bench.submit([number], max_tokens=4) for number in (1, 2, 3)]
    bad = bench.submit([4, FAILING_TOKEN, 5], max_tokens=4)
    bench.run()
    assert [text_of(handle) for handle in good] == ["hell"] * 3
    (event,) = events_of(bad)
    assert isinstance(event, Failed)
    assert isinstance(event.error, GenerationFailedError)


def test_a_batch_that_is_too_large_is_halved(bench: Bench) -> None:
    bench.runner.fails = lambda chunks: len(chunks) > 1
    handles = [bench.submit([number], max_tokens=4) for number in (1, 2, 3, 4)]
    bench.run()
    assert [text_of(handle) for handle in handles] == ["hell"] * 4


def test_idle_chats_are_given_up_before_a_request_fails(bench: Bench) -> None:
    bench.submit([1] * 9, max_tokens=1)
    bench.run()
    bench.runner.fails = lambda _chunks: len(bench.runner.cached(0)) > 0 and 1 in bench.runner.cached(0)
    handle = bench.submit([2] * 3, max_tokens=4)
    bench.run()
    assert text_of(handle) == "hell"


def test_a_long_piece_of_a_prompt_is_tried_in_halves(runner_class: Any) -> None:
    runner = runner_class(batch_tokens=64, context_tokens=256)
    runner.fails = lambda chunks: len(chunks[0].tokens) > 40
    bench = Bench(runner)
    handle = bench.submit([1] * 120, max_tokens=4)
    bench.run()
    assert text_of(handle) == "hell"


def test_memories_that_cannot_be_cut_survive_a_failure(runner_class: Any) -> None:
    runner = runner_class(num_slots=4)
    runner.can_truncate = False
    bench = Bench(runner)
    early = bench.submit([1] * 3, max_tokens=4)
    for _ in range(2):
        bench.step()
    bad = bench.submit([4, FAILING_TOKEN], max_tokens=4)
    late = bench.submit([2] * 3, max_tokens=4)
    bench.run(limit=50)
    assert text_of(early) == text_of(late) == "hell"
    assert isinstance(events_of(bad)[-1], Failed)


def test_a_culprit_that_begins_anew_runs_alone(runner_class: Any) -> None:
    runner = runner_class(num_slots=4)
    runner.can_truncate = False
    bench = Bench(runner)
    bad = bench.submit([4, 5, 6, 7, 8, 9, 3, 3, 3, FAILING_TOKEN], max_tokens=4)
    good = bench.submit([2] * 30, max_tokens=4)
    bench.run(limit=50)
    assert text_of(good) == "hell"
    assert isinstance(events_of(bad)[-1], Failed)


def test_a_token_that_cannot_be_chosen_fails_only_its_request(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.llama.errors import DecodeError

    run = bench.runner.run

    def without_the_first(chunks: Any) -> Any:
        return [
            DecodeError("no token fits") if chunk.tokens == [1] else got
            for chunk, got in zip(chunks, run(chunks), strict=True)
        ]

    monkeypatch.setattr(bench.runner, "run", without_the_first)
    bad, good = bench.submit([1], max_tokens=4), bench.submit([2], max_tokens=4)
    bench.run()
    assert text_of(good) == "hell"
    assert isinstance(events_of(bad)[-1], Failed)


def test_a_chat_that_fills_the_context_loses_its_oldest_part(bench: Bench) -> None:
    bench.runner.can_shift = True
    bench.runner.reply = bytes(range(97, 123)) * 5
    handle = bench.submit([*range(1, 11)], max_tokens=120, num_keep=4)
    bench.run()
    assert text_of(handle) == bench.runner.reply.decode()[:120]
    assert bench.runner.num_shifted == 30 * 3
    assert bench.runner.cached(0)[:4] == [1, 2, 3, 4]


def test_a_reply_without_a_limit_ends_after_one_more_context(bench: Bench) -> None:
    bench.runner.can_shift = True
    bench.runner.reply = b"x" * 1000
    handle = bench.submit([1] * 10)
    bench.run()
    *deltas, last = events_of(handle)
    assert isinstance(last, Finished)
    assert (last.reason, len(deltas), len(last.token_ids)) == ("length", 64, 64)
    assert last.usage.num_prompt_tokens == 10


def test_what_a_running_chat_shares_is_read_anew_instead_of_moved(bench: Bench) -> None:
    """Both begin alike, so the one that is shifted must not move the cells of the other."""
    bench.runner.can_shift = True
    bench.runner.reply = b"x" * 100
    first = bench.submit([9] * 20, max_tokens=60)
    for _ in range(4):
        bench.step()
    second = bench.submit([*[9] * 19, 8], max_tokens=4)
    bench.run()
    assert text_of(first) == "x" * 60
    assert text_of(second) == "xxxx"


def test_what_an_idle_chat_shares_is_given_up(bench: Bench) -> None:
    bench.runner.can_shift = True
    bench.runner.reply = b"x" * 100
    bench.submit([9] * 20, max_tokens=2)
    bench.run()
    handle = bench.submit([*[9] * 20, 8], max_tokens=60)
    bench.run()
    assert text_of(handle) == "x" * 60
    assert bench.runner.num_shifted > 0


def test_a_memory_that_turns_out_not_to_shift_is_read_anew(bench: Bench) -> None:
    bench.runner.can_shift, bench.runner.can_truncate = True, False
    bench.runner.reply = b"x" * 100
    handle = bench.submit([1] * 10, max_tokens=80)
    bench.run()
    assert text_of(handle) == "x" * 80


ACTIONS = st.one_of(
    st.tuples(
        st.just("submit"),
        st.tuples(st.lists(st.integers(1, 3), min_size=1, max_size=40), st.one_of(st.none(), st.integers(1, 40))),
    ),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("poison"), st.integers(1, 5)),
    st.tuples(st.just("fail"), st.integers(1, 3)),
    st.tuples(st.just("step"), st.integers(1, 10)),
    st.tuples(st.just("run and tidy"), st.integers(1, 3)),
)


def check_end(handle: RequestHandle, reply: str, most: int | None, *, may_fail: bool) -> None:
    """Check what a request was told: a beginning of ``reply``, whole, cut at ``most`` tokens, failed or cancelled."""
    *deltas, last = events_of(handle)
    assert all(isinstance(event, TextDelta) for event in deltas), "an event after the last one"
    text = "".join(event.text for event in deltas if isinstance(event, TextDelta))
    assert reply.startswith(text), "tokens of another request, lost or doubled"
    if isinstance(last, Failed):
        assert may_fail
    elif last.reason == "stop":
        assert text == reply
    elif last.reason == "length":
        assert len(text) == most
    else:
        assert handle.cancelled


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    actions=st.lists(ACTIONS, max_size=40),
    can_truncate=st.booleans(),
    can_shift=st.booleans(),
    slots=st.integers(1, 4),
    first_cells=st.sampled_from([8, 20, 64]),
    loses_content=st.booleans(),
    can_save=st.booleans(),
    can_restore=st.booleans(),
)
def test_any_order_of_arrivals_cancels_and_failures(
    runner_class: Any,
    actions: list[Any],
    can_truncate: bool,
    can_shift: bool,
    slots: int,
    first_cells: int,
    loses_content: bool,
    can_save: bool,
    can_restore: bool,
) -> None:
    runner = runner_class(b"a reply that is longer than the share of its slot", num_slots=slots)
    runner.can_save, runner.can_restore = can_save, can_restore
    runner.can_truncate, runner.can_shift = can_truncate, can_shift
    runner.num_cells = runner.least_cells = first_cells
    runner.loses_content = loses_content
    bench = Bench(runner)
    handles: list[tuple[RequestHandle, list[int], int | None]] = []
    failures = [0]

    def fails(_chunks: Any) -> bool:
        failures[0] = max(0, failures[0] - 1)
        return failures[0] > 0

    runner.fails = fails
    for action, value in actions:
        if action == "submit":
            prompt, limit = value
            handles.append((bench.submit(prompt, max_tokens=limit), prompt, limit))
        elif action == "poison":
            handles.append((bench.submit([1] * value + [FAILING_TOKEN]), [FAILING_TOKEN], None))
        elif action == "cancel" and handles:
            handles[value % len(handles)][0].cancel()
        elif action == "fail":
            failures[0] = value + 1
        elif action == "run and tidy":
            bench.run()
            for _ in range(value):
                bench.worker.space.tidy()
        else:
            for _ in range(value if action == "step" else 0):
                bench.step()
    bench.run()
    had_failures = any(action == "fail" for action, _value in actions)
    for handle, prompt, limit in handles:
        most = limit if can_shift else min(limit or 64, 64 - len(prompt))
        check_end(handle, runner.reply.decode(), most, may_fail=had_failures or FAILING_TOKEN in prompt)
    assert runner.samplers_open == 0
    assert bench.worker.cache.num_live_cells == 0
    while bench.worker.space.drop_oldest():
        pass
    assert bench.worker.cache.num_free_cells == bench.worker.cache.num_cells == runner.num_cells <= 64
    assert not any(runner.cells.values())
