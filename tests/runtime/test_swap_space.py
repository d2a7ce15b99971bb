"""Idle chats leave the cache for ordinary memory: out of the way of what runs, and back without being read again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.runtime.test_worker import Bench, events_of

CHAT = [*range(1, 41)]


def bench_with(runner_class: Any, *, context_tokens: int = 64, **more: Any) -> Bench:
    return Bench(runner_class(context_tokens=context_tokens, **more))


def reused_by(bench: Bench, prompt: list[int]) -> int:
    """Tokens of a prompt that the request with it, run to its end, did not read."""
    handle = bench.submit(prompt)
    bench.run()
    return int(events_of(handle)[-1].usage.num_reused_tokens)


def tokens_after(bench: Bench, prompt: list[int]) -> list[int]:
    """What a chat has become when its reply, all but the last token of which the cache holds, has ended."""
    return [*prompt, *(byte + 1 for byte in bench.runner.reply)]


def test_a_chat_that_gave_way_goes_on_where_it_was(runner_class: Any) -> None:
    bench = bench_with(runner_class)
    assert reused_by(bench, CHAT) == 0
    assert reused_by(bench, [50] * 40) == 0, "takes the room of the first"
    before = bench.worker.num_prompt_tokens_run
    chat = tokens_after(bench, CHAT)
    assert reused_by(bench, [*chat, 60, 61]) >= len(chat) - 1
    assert bench.runner.num_loaded == 1
    assert bench.worker.num_prompt_tokens_run <= before + 3


def test_a_part_of_it_can_be_used_again_and_again(runner_class: Any) -> None:
    bench = bench_with(runner_class)
    reused_by(bench, CHAT)
    for number in range(3):
        reused_by(bench, [50 + number] * 45)
        assert reused_by(bench, [*CHAT[:35], 90 + number, 2]) == 35
    assert bench.runner.num_loaded == 3


def test_a_memory_that_can_not_be_cut_is_restored_whole(runner_class: Any) -> None:
    bench = bench_with(runner_class)
    bench.runner.can_truncate = False
    reused_by(bench, CHAT)
    reused_by(bench, [50] * 40)
    chat = tokens_after(bench, CHAT)
    assert reused_by(bench, [*CHAT[:30], 9]) == 0
    assert reused_by(bench, [*chat, 60]) == len(chat)


def test_it_holds_no_more_than_the_context(runner_class: Any) -> None:
    """Three chats of 45 tokens do not fit into 64 + 64: the oldest is forgotten."""
    bench = bench_with(runner_class)
    chats = [[number] * 40 for number in (20, 30, 40)]
    for chat in chats:
        reused_by(bench, chat)
    assert reused_by(bench, [*tokens_after(bench, chats[0]), 3]) == 0


@pytest.mark.parametrize("what", ["can_save", "can_restore"])
def test_what_can_not_be_copied_is_read_again(runner_class: Any, what: str) -> None:
    bench = bench_with(runner_class)
    setattr(bench.runner, what, False)
    reused_by(bench, CHAT)
    reused_by(bench, [50] * 40)
    assert reused_by(bench, [*CHAT, 60]) == 0
    assert bench.runner.num_loaded == 0


def test_memory_that_others_need_is_given_back(runner_class: Any) -> None:
    bench = bench_with(runner_class)
    reused_by(bench, CHAT)
    reused_by(bench, [50] * 40)
    assert not bench.worker.shrink_when_short()
    bench.runner.memory_is_short = True
    assert bench.worker.shrink_when_short()
    assert not bench.worker.shrink_when_short(), "nothing is left to give"
    assert reused_by(bench, [*CHAT, 60]) == 0


def test_idle_chats_get_out_of_the_way_of_a_long_reply(runner_class: Any) -> None:
    """There is room for all, so only the steps that walk over the idle ones make them go."""
    runner = runner_class(b"x" * 200, context_tokens=8192, batch_tokens=512)
    runner.num_cached = runner.num_slots = 8
    bench = Bench(runner)
    chats = [[number, *[7] * 400] for number in range(20, 25)]
    handles = [bench.submit(chat, max_tokens=20) for chat in chats]
    bench.run()
    assert all(events_of(handle) for handle in handles)
    assert bench.worker.cache.num_idle_cells > 2000
    handle = bench.submit([1, 2, 3], max_tokens=200)
    for _ in range(100):
        bench.step()
    assert bench.worker.cache.num_idle_cells > 2000, "a short reply pays for no copies"
    bench.run()
    assert events_of(handle)[-1].reason == "length"
    assert 600 < bench.worker.cache.num_idle_cells <= 1024 + 203, "those used last stay"
    before = bench.worker.num_prompt_tokens_run
    for chat in chats:
        assert reused_by(bench, [*chat, 3]) >= len(chat)
    assert bench.worker.num_prompt_tokens_run - before <= 3 * len(chats)


def test_while_nothing_runs_all_but_the_last_chat_get_out_of_the_way(runner_class: Any) -> None:
    runner = runner_class(b"x" * 10, context_tokens=8192, batch_tokens=512)
    runner.num_cached = 8
    bench = Bench(runner)
    chats = [[number, *[7] * 400] for number in range(20, 23)]
    for chat in chats:
        reused_by(bench, chat)
    for num_left in (2, 1):
        assert bench.worker.is_untidy
        bench.worker.tidy()
        assert len(bench.worker.cache.entries) == num_left
    assert not bench.worker.is_untidy
    bench.worker.tidy()
    for chat in reversed(chats):
        assert reused_by(bench, [*chat, 3]) >= len(chat)
    assert bench.runner.num_loaded == 2


def test_short_chats_and_running_ones_are_left_where_they_are(runner_class: Any) -> None:
    runner = runner_class(context_tokens=8192, batch_tokens=512)
    runner.num_cached = 8
    bench = Bench(runner)
    for number in range(20, 23):
        reused_by(bench, [number] * 40)
    assert not bench.worker.is_untidy
    for number in range(30, 33):
        reused_by(bench, [number] * 400)
    bench.submit([1, 2, 3])
    bench.step()
    assert not bench.worker.is_untidy


def test_a_memory_that_can_not_be_copied_is_tried_once(runner_class: Any) -> None:
    runner = runner_class(context_tokens=8192, batch_tokens=512)
    runner.num_cached, runner.can_save = 8, False
    bench = Bench(runner)
    for number in range(20, 23):
        reused_by(bench, [number] * 400)
    bench.worker.tidy()
    assert not bench.worker.is_untidy
    assert len(bench.worker.cache.entries) == 3


def test_chats_that_share_most_of_their_cells_stay_together(runner_class: Any) -> None:
    """A copy of each would hold the long beginning that they share many times over."""
    runner = runner_class(context_tokens=8192, batch_tokens=512)
    runner.num_cached = 8
    bench = Bench(runner)
    for number in range(20, 24):
        reused_by(bench, [*[7] * 1000, *[number] * 100])
    assert not bench.worker.is_untidy
    assert len(bench.worker.cache.entries) == 4


def test_idle_chats_give_way_before_the_cache_grows(runner_class: Any) -> None:
    """One chat after the other needs no more cells than the last two; none of them is read twice."""
    runner = runner_class(b"x" * 10, context_tokens=8192, batch_tokens=512)
    runner.num_cached, runner.num_cells, runner.least_cells = 8, 1024, 1024
    bench = Bench(runner)
    chats = [[number, *[7] * 450] for number in range(20, 28)]
    for chat in chats:
        assert reused_by(bench, chat) <= 1
    assert runner.num_cells == 1024
    for chat in chats:
        assert reused_by(bench, [*chat, 3]) >= len(chat)
    assert runner.num_cells <= 1536


def test_a_long_prompt_walks_over_no_idle_chats(runner_class: Any) -> None:
    runner = runner_class(b"x" * 10, context_tokens=8192, batch_tokens=512)
    runner.num_cached = runner.num_slots = 8
    bench = Bench(runner)
    for number in range(20, 26):
        bench.submit([number] * 400)
    bench.run()
    assert bench.worker.cache.num_idle_cells > 2048
    bench.submit([9] * 1400)
    bench.step()
    assert bench.worker.cache.num_idle_cells <= 1024
