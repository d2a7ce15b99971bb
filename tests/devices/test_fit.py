"""How much of a model goes on which device, from sizes alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.devices.fit import LEAST_RESERVE_BYTES, MEBIBYTE, Plan, Room, plan_exactly, plan_layers
from runtime.llama.model_sizes import ModelSizes

DENSE = ModelSizes(
    layers=(100 * MEBIBYTE,) * 10,
    experts=(0,) * 10,
    output=50 * MEBIBYTE,
    cache_per_token=2048,
    width=0,
    feed_forward=0,
    context_length=4096,
    heads=(64, 64),
)
MIXTURE = replace(DENSE, layers=(20 * MEBIBYTE,) * 10, experts=(80 * MEBIBYTE,) * 10)
CONTEXT = 2560
CACHE = 10 * MEBIBYTE
"""The cache of one layer at this context."""

COPY = 50
"""Half of a layer, in MiB: room for weights that stay behind and are copied to the device for a prompt."""

EVERYTHING = 10 * 100 * MEBIBYTE + 10 * CACHE + 50 * MEBIBYTE


def room(usable_bytes: int) -> Room:
    """A device on which ``usable_bytes`` can be filled."""
    return Room(free_bytes=usable_bytes + LEAST_RESERVE_BYTES, total_bytes=usable_bytes + LEAST_RESERVE_BYTES)


def plan(sizes: ModelSizes, *usable_mebibytes: float, share: float = 1.0) -> Plan | None:
    rooms = [room(int(number * MEBIBYTE)) for number in usable_mebibytes]
    return plan_layers(sizes, rooms, context_tokens=CONTEXT, batch_tokens=0, share=share)


def test_everything_fits() -> None:
    assert plan(DENSE, EVERYTHING / MEBIBYTE) == Plan(counts=(11,))


def test_the_cache_shrinks_before_a_layer_stays_behind() -> None:
    assert plan(DENSE, EVERYTHING / MEBIBYTE - 1) == Plan(counts=(11,), kv_type="q8_0")


@pytest.mark.parametrize("heads", [(80, 80), (64, 80), (40, 64), ()])
def test_it_does_not_shrink_where_heads_are_no_whole_blocks(heads: tuple[int, ...]) -> None:
    assert plan(replace(DENSE, heads=heads), EVERYTHING / MEBIBYTE - 1) == Plan(counts=(10,))


def test_layers_stay_behind_when_there_is_no_other_way() -> None:
    assert plan(DENSE, 50 + 4 * 110 + COPY) == Plan(counts=(5,))
    assert plan(DENSE, 50 + 4 * 110 + COPY - 1) == Plan(counts=(4,))


def test_less_than_two_layers_are_not_worth_it() -> None:
    assert plan(DENSE, 159 + COPY) is None
    assert plan(DENSE, 160 + COPY) == Plan(counts=(2,))
    assert plan(DENSE, 0) is None


def test_nothing_is_planned_without_a_device() -> None:
    assert plan(DENSE) is None


def test_a_share_of_the_memory_plans_less() -> None:
    whole, part = plan(DENSE, 600), plan(DENSE, 600, share=0.5)
    assert whole and part
    assert part.num_layers < whole.num_layers


def test_experts_stay_behind_first_and_as_few_as_need_be() -> None:
    found = plan(MIXTURE, EVERYTHING / MEBIBYTE - 200)
    assert found == Plan(counts=(11,), cpu_experts=(0, 1, 2))


def test_with_all_experts_behind_layers_follow() -> None:
    found = plan(MIXTURE, 50 + 3 * 30 + 80 // 2)
    assert found == Plan(counts=(4,), cpu_experts=tuple(range(10)))


def test_one_device_that_holds_everything_does_so_alone() -> None:
    assert plan(DENSE, 300, 2000) == Plan(counts=(0, 11))


def test_several_devices_share_neighbouring_layers() -> None:
    found = plan(DENSE, 5 * 110, 5 * 110 + 50)
    assert found == Plan(counts=(5, 6))


def test_several_devices_and_the_cpu() -> None:
    found = plan(DENSE, 220 + COPY, 330 + COPY)
    assert found is not None
    assert found.counts == (2, 3)


def test_what_a_step_needs_is_left_free() -> None:
    wide = replace(DENSE, width=4096, feed_forward=14336)
    rooms = [room(EVERYTHING)]
    narrow = plan_layers(wide, rooms, context_tokens=CONTEXT, batch_tokens=512)
    assert narrow is not None
    assert narrow.num_layers < 11


@given(
    layers=st.lists(st.integers(1, 500), min_size=1, max_size=40),
    experts=st.integers(0, 400),
    output=st.integers(1, 500),
    usable=st.lists(st.integers(0, 6000), min_size=1, max_size=4),
)
def test_no_device_is_given_more_than_it_holds(layers: list[int], experts: int, output: int, usable: list[int]) -> None:
    sizes = ModelSizes(
        layers=tuple(size * MEBIBYTE for size in layers),
        experts=(experts * MEBIBYTE,) * len(layers),
        output=output * MEBIBYTE,
        cache_per_token=2048,
        width=0,
        feed_forward=0,
        context_length=0,
    )
    rooms = [room(number * MEBIBYTE) for number in usable]
    found = plan_layers(sizes, rooms, context_tokens=CONTEXT, batch_tokens=0)
    if found is None:
        return
    cache = int(CACHE * (1 if found.kv_type == "f16" else 34 / 64))
    units = [
        sizes.layers[index] + (0 if index in found.cpu_experts else sizes.experts[index]) + cache
        for index in range(len(layers))
    ]
    placed = [*units, sizes.output][len(units) + 1 - found.num_layers :]
    for device, count in zip(rooms, found.counts, strict=True):
        assert sum(placed[:count]) <= device.free_bytes - LEAST_RESERVE_BYTES * 0.97
        placed = placed[count:]
    assert placed == []


@pytest.mark.parametrize("wanted", [1, 2, 7, 11])
def test_a_number_that_was_asked_for_is_spread_by_free_memory(wanted: int) -> None:
    rooms = [Room(free_bytes=3 << 30, total_bytes=4 << 30), Room(free_bytes=1 << 30, total_bytes=4 << 30)]
    found = plan_exactly(wanted, rooms)
    assert found.num_layers == wanted
    assert found.counts[0] >= found.counts[1]
    assert plan_exactly(wanted, [Room(free_bytes=0, total_bytes=0)]).counts == (wanted,)
