"""Whether the projector goes on the model's device, from sizes alone: the language model comes first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.devices.fit import MEBIBYTE, Plan, Room, fits, plan_exactly, plan_layers
from runtime.devices.projector_fit import plan_with_projector, projector_room
from runtime.llama.projector import ProjectorSizes
from tests.devices.test_fit import CACHE, CONTEXT, COPY, DENSE, EVERYTHING, MIXTURE, room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.llama.model_sizes import ModelSizes

PROJECTOR = 200
"""In MiB: as much as two layers."""

WHOLE = EVERYTHING // MEBIBYTE
SMALL_CACHES = 10 * CACHE // MEBIBYTE * 34 // 64 + 1


def plan(
    sizes: ModelSizes, *usable_mebibytes: float, projector: int = PROJECTOR, layers: int | None = None
) -> Plan | None:
    rooms = [room(int(number * MEBIBYTE)) for number in usable_mebibytes]

    def make(rooms: Sequence[Room]) -> Plan | None:
        if layers is not None:
            return plan_exactly(layers, rooms)
        return plan_layers(sizes, rooms, context_tokens=CONTEXT, batch_tokens=0)

    return plan_with_projector(make, sizes, rooms, projector * MEBIBYTE, context_tokens=CONTEXT, batch_tokens=0)


def test_both_fit() -> None:
    assert plan(DENSE, WHOLE + PROJECTOR) == Plan(counts=(11,), has_projector=True)


def test_the_cache_shrinks_for_it() -> None:
    least = WHOLE - 100 + SMALL_CACHES + PROJECTOR
    assert plan(DENSE, WHOLE + PROJECTOR - 1) == Plan(counts=(11,), kv_type="q8_0", has_projector=True)
    assert plan(DENSE, least) == Plan(counts=(11,), kv_type="q8_0", has_projector=True)
    assert plan(DENSE, least - 2) == Plan(counts=(11,))


def test_a_model_that_fits_wholly_only_without_it_goes_first() -> None:
    assert plan(DENSE, WHOLE) == Plan(counts=(11,))
    assert plan(DENSE, WHOLE - 1) == Plan(counts=(11,), kv_type="q8_0")
    assert plan(MIXTURE, WHOLE) == Plan(counts=(11,))


def test_it_takes_layers_of_a_model_that_does_not_fit_anyway() -> None:
    assert plan(DENSE, 50 + 4 * 110 + COPY + PROJECTOR) == Plan(counts=(5,), has_projector=True)
    assert plan(MIXTURE, WHOLE - 200) == Plan(counts=(11,), cpu_experts=tuple(range(6)), has_projector=True)


def test_but_never_more_than_half_of_them() -> None:
    assert plan(DENSE, 50 + 3 * 110 + COPY) == Plan(counts=(2,), has_projector=True)
    assert plan(DENSE, 50 + 4 * 110 + COPY, projector=300) == Plan(counts=(5,))
    assert plan(DENSE, 160 + COPY) == Plan(counts=(2,))


def test_it_does_not_make_a_device_worth_it() -> None:
    assert plan(DENSE, 159 + COPY) is None
    assert plan(DENSE) is None


def test_it_goes_on_the_first_device_that_has_layers() -> None:
    assert plan(DENSE, PROJECTOR + 50, WHOLE) == Plan(counts=(0, 11))
    assert plan(DENSE, PROJECTOR + 50, WHOLE + PROJECTOR) == Plan(counts=(0, 11), has_projector=True)
    assert plan(DENSE, 5 * 110 + PROJECTOR, 5 * 110 + 50) == Plan(counts=(5, 6), has_projector=True)


def test_room_elsewhere_is_of_no_use() -> None:
    """The first device is full, and what is free on the second one is not where pictures are read."""
    found = plan(DENSE, 150, 8 * 110 + 50 + PROJECTOR)
    assert found is not None
    assert found.first_device == (1 if found.has_projector else 0)


@pytest.mark.parametrize(
    ("usable", "has_projector"), [(50 + 2 * 110 + COPY + PROJECTOR, True), (600, True), (300, False)]
)
def test_layers_that_were_asked_for_stay(usable: float, has_projector: bool) -> None:
    assert plan(DENSE, usable, layers=3) == Plan(counts=(3,), has_projector=has_projector)


def test_no_layers_at_all() -> None:
    assert plan(DENSE, 5000, layers=0) == Plan(counts=(0,))


def test_room_is_left_for_larger_pictures() -> None:
    small = projector_room(ProjectorSizes(weights_bytes=600 * MEBIBYTE, compute_bytes=50 * MEBIBYTE))
    large = projector_room(ProjectorSizes(weights_bytes=600 * MEBIBYTE, compute_bytes=90 * MEBIBYTE))
    assert large - small == 80 * MEBIBYTE
    assert small > 700 * MEBIBYTE


@given(
    layers=st.lists(st.integers(1, 500), min_size=1, max_size=40),
    experts=st.integers(0, 400),
    usable=st.lists(st.integers(0, 6000), min_size=1, max_size=4),
)
def test_the_model_loses_nothing_that_it_could_have_wholly(layers: list[int], experts: int, usable: list[int]) -> None:
    sizes = replace(
        DENSE,
        layers=tuple(size * MEBIBYTE for size in layers),
        experts=(experts * MEBIBYTE,) * len(layers),
    )
    rooms = [room(number * MEBIBYTE) for number in usable]
    alone = plan_layers(sizes, rooms, context_tokens=CONTEXT, batch_tokens=0)
    found = plan(sizes, *usable)
    if alone is None or found is None:
        assert found == alone
        return
    assert fits(sizes, alone, rooms, context_tokens=CONTEXT, batch_tokens=0)
    if not found.has_projector:
        assert found == alone
        return
    if alone.num_layers == sizes.num_layers and not alone.cpu_experts:
        assert found.num_layers == sizes.num_layers
        assert not found.cpu_experts
    assert found.num_layers >= alone.num_layers / 2
    first = found.first_device
    assert first is not None
    rooms[first] = replace(rooms[first], free_bytes=rooms[first].free_bytes - PROJECTOR * MEBIBYTE)
    assert fits(sizes, found, rooms, context_tokens=CONTEXT, batch_tokens=0)
