"""The policy alone: streams first, prompts within the budget, nobody forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.sampling import SamplingParams
from runtime.engine.scheduler import Part, choose_to_preempt, is_admissible, plan_step, tokens_to_reserve
from runtime.engine.sequence import GenerationRequest, RequestHandle, Sequence
from runtime.engine.step_costs import StepCosts


def sequence(order: int, remaining: int, *, computed: int = 10, **more: Any) -> Sequence:
    tokens = tuple(range(1, 1 + computed + remaining))
    request = GenerationRequest(
        prompt_tokens=tokens,
        sampling=SamplingParams(),
        max_tokens=more.pop("max_tokens", None),
        adapters=more.pop("adapters", ()),
    )
    made = Sequence.from_request(request, RequestHandle(), order)
    made.num_computed = computed
    made.last_step = more.pop("last_step", order)
    return made


def costs_of(**milliseconds: float) -> StepCosts:
    """Costs of steps by rows (``rows_2=25``) and of a prompt token (``prompt=2``)."""
    costs = StepCosts()
    for name, value in milliseconds.items():
        if name == "prompt":
            costs.record(num_rows=0, num_prompt_tokens=100, duration_s=value / 10)
        else:
            for _ in range(3):
                costs.record(num_rows=int(name.removeprefix("rows_")), num_prompt_tokens=0, duration_s=value / 1000)
    return costs


def shares(parts: list[Part]) -> dict[int, int]:
    return {part.sequence.order: part.num_tokens for part in parts}


def test_a_prompt_alone_has_the_whole_batch() -> None:
    assert shares(plan_step([sequence(0, 2000)], StepCosts(), 512)) == {0: 512}


def test_streams_come_first_and_the_prompt_gets_what_keeps_the_pause_short() -> None:
    parts = plan_step([sequence(0, 2000), sequence(1, 1), sequence(2, 1)], costs_of(rows_1=10, prompt=2), 512)
    assert [part.sequence.order for part in parts] == [1, 2, 0]
    assert shares(parts) == {1: 1, 2: 1, 0: 62}


def test_short_prompts_pass_a_long_one_which_keeps_half() -> None:
    prompts = [sequence(0, 2000), sequence(1, 300), sequence(2, 100), sequence(3, 100), sequence(4, 100)]
    assert shares(plan_step(prompts, StepCosts(), 512)) == {0: 312, 2: 100, 3: 100}


def test_what_the_oldest_prompt_leaves_goes_to_the_next() -> None:
    assert shares(plan_step([sequence(0, 100), sequence(1, 2000)], StepCosts(), 512)) == {0: 100, 1: 412}


def test_groups_take_turns() -> None:
    streams, costs = [sequence(order, 1) for order in range(3)], costs_of(rows_1=10, rows_2=40, rows_3=90)
    turns = []
    for step in range(10, 16):
        (part,) = plan_step(streams, costs, 512)
        part.sequence.last_step = step
        turns.append(part.sequence.order)
    assert turns == [0, 1, 2, 0, 1, 2]


@given(
    remaining=st.lists(st.one_of(st.just(1), st.integers(1, 900)), max_size=12),
    budget=st.integers(2, 600),
    prompt_ms=st.floats(0.001, 100),
)
def test_every_plan_is_sound(remaining: list[int], budget: int, prompt_ms: float) -> None:
    sequences = [sequence(order, length) for order, length in enumerate(remaining)]
    parts = plan_step(sequences, costs_of(rows_1=10, prompt=prompt_ms), budget)
    assert bool(parts) == bool(sequences)
    assert sum(part.num_tokens for part in parts) <= budget
    assert len({part.sequence.order for part in parts}) == len(parts)
    assert all(1 <= part.num_tokens <= part.sequence.num_remaining for part in parts)
    prompts = [one for one in sequences if one.num_remaining > 1]
    if prompts:
        assert prompts[0].order in shares(parts), "the oldest prompt starves"
        num_streams = len(sequences) - len(prompts)
        assert sum(part.sequence.num_remaining == 1 for part in parts) == min(num_streams, budget - 1)


@given(st.lists(st.sampled_from([1, 1, 50, 700]), min_size=1, max_size=10), st.integers(2, 64))
def test_nobody_starves(remaining: list[int], budget: int) -> None:
    sequences = [sequence(order, length) for order, length in enumerate(remaining)]
    costs = costs_of(rows_1=10, prompt=1)
    for step in range(sum(remaining) + 20 * len(sequences)):
        for part in plan_step(sequences, costs, budget):
            one = part.sequence
            one.num_computed += part.num_tokens
            one.last_step = step
            if one.num_remaining == 0:
                one.tokens.append(1)
    assert all(len(one.tokens) > 10 + length + 1 for one, length in zip(sequences, remaining, strict=True))


ADAPTERS = ((), (0.5,), (0.0,))


def test_sequences_with_different_adapters_take_turns() -> None:
    plain = [sequence(order, 1, last_step=5) for order in range(3)]
    adapted = sequence(3, 2000, adapters=(0.5,), last_step=-1)
    costs = costs_of(rows_1=10, prompt=2)
    turns = []
    for step in range(6, 10):
        parts = plan_step([*plain, adapted], costs, 512)
        turns.append(shares(parts))
        for part in parts:
            part.sequence.last_step = step
    assert [sorted(turn) for turn in turns] == [[3], [0, 1, 2], [3], [0, 1, 2]]
    assert turns[0][3] < 100, "the others would pause for a whole batch"


@given(
    st.lists(st.tuples(st.sampled_from([1, 1, 50, 700]), st.sampled_from(ADAPTERS)), min_size=1, max_size=10),
    st.integers(2, 64),
)
def test_nobody_starves_whatever_the_adapters(wanted: list[tuple[int, tuple[float, ...]]], budget: int) -> None:
    sequences = [sequence(order, length, adapters=adapters) for order, (length, adapters) in enumerate(wanted)]
    for step in range(10, 10 + 3 * (sum(length for length, _ in wanted) + 20 * len(sequences))):
        parts = plan_step(sequences, costs_of(rows_1=10, prompt=1), budget)
        assert len({part.sequence.adapters for part in parts}) == 1
        for part in parts:
            one = part.sequence
            one.num_computed += part.num_tokens
            one.last_step = step
            if one.num_remaining == 0:
                one.tokens.append(1)
    assert all(len(one.tokens) > 10 + length + 1 for one, (length, _) in zip(sequences, wanted, strict=True))


@pytest.mark.parametrize(
    ("max_tokens", "slots", "reserved"),
    [(20, 4, 50), (5000, 4, 1000), (None, 4, 250), (None, 10, 100), (None, 20, 55), (None, 1, 1000)],
)
def test_room_for_prompt_and_reply(max_tokens: int | None, slots: int, reserved: int) -> None:
    one = sequence(0, 1, computed=29, max_tokens=max_tokens)
    assert tokens_to_reserve(one, 1000, slots) == reserved


def test_admission_counts_what_the_others_will_still_need() -> None:
    running = sequence(0, 1, computed=100)
    running.num_reserved = 300
    assert is_admissible(700, 0, [running], 100, 1000)
    assert not is_admissible(701, 0, [running], 100, 1000)
    assert is_admissible(750, 50, [running], 100, 1000)
    assert is_admissible(1000, 0, [], 0, 1000)


def test_the_youngest_gives_way_but_never_the_last() -> None:
    one, two = sequence(3, 1), sequence(7, 1)
    assert choose_to_preempt([one, two]) is two
    assert choose_to_preempt([one]) is None
