"""Plans how much of a model goes on the devices: plain numbers in, a plan out; it knows neither ggml nor a driver.

In this order: everything with a cache of halves; everything with the cache in eight bits; everything but the experts
of some layers; as many layers as fit. llama.cpp takes layers from the end, the output first, and gives each device a
run of neighbouring ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.llama.kv_types import F16, KV_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from runtime.llama.model_sizes import ModelSizes

MEBIBYTE = 1 << 20
LEAST_RESERVE_BYTES = 192 * MEBIBYTE
RESERVED_SHARE = 0.03
VALUE_BYTES = 4
MASK_BYTES = 6
WIDTHS, FEED_FORWARDS = 8, 3
"""How many rows of a batch a step holds at once, by their length; measured generously."""

SMALLEST_PLAN_LAYERS = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many layers go on each device (``counts``, the output counts as one), and what stays behind or shrinks.

    ``has_projector`` says that pictures are read on the first device that has layers.
    """

    counts: tuple[int, ...]
    cpu_experts: tuple[int, ...] = ()
    kv_type: str = F16
    has_projector: bool = False

    @property
    def first_device(self) -> int | None:
        """The first device that has layers."""
        return next((index for index, count in enumerate(self.counts) if count), None)

    @property
    def num_layers(self) -> int:
        """Layers on all devices together."""
        return sum(self.counts)


@dataclass(frozen=True, kw_only=True)
class Room:
    """Memory of one device at this moment."""

    free_bytes: int
    total_bytes: int


def plan_layers(
    sizes: ModelSizes,
    rooms: Sequence[Room],
    *,
    context_tokens: int,
    batch_tokens: int,
    share: float = 1.0,
    kv_types: Sequence[str] = (F16, "q8_0"),
) -> Plan | None:
    """Return the best plan for ``share`` of the free memory, or ``None`` when it is not worth it.

    ``kv_types`` are the formats that the KV cache may have, the preferred one first.
    """
    fixed = _fixed_bytes(sizes, context_tokens, batch_tokens)
    usable = [_usable(room, fixed, share) for room in rooms]
    values = sizes.cache_per_token * context_tokens
    cache = KV_TYPES[kv_types[0]].size_bytes(values)
    layers = len(sizes.layers)

    def units(first: int, experts_behind: int, cache_bytes: int) -> list[int]:
        return _units(sizes, first, range(experts_behind), cache_bytes)

    for kv_type in filter(sizes.can_have, kv_types):
        counts = _spread(units(0, 0, KV_TYPES[kv_type].size_bytes(values)), usable)
        if counts:
            return Plan(counts=counts, kv_type=kv_type)
    # For a prompt, weights that stay behind are computed with on the device too, copied there one after the other.
    usable = [max(0, room - _largest_copy(sizes)) for room in usable]
    if sizes.has_experts:
        behind = _least(lambda number: _spread(units(0, number, cache), usable), layers)
        if behind:
            return Plan(counts=behind[1], cpu_experts=tuple(range(behind[0])), kv_type=kv_types[0])
    experts_behind = layers if sizes.has_experts else 0
    found = _least(lambda first: _spread(units(first, experts_behind, cache), usable), layers)
    if not found or sum(found[1]) < SMALLEST_PLAN_LAYERS:
        return None
    return Plan(counts=found[1], cpu_experts=tuple(range(experts_behind)), kv_type=kv_types[0])


def plan_exactly(num_layers: int, rooms: Sequence[Room], kv_type: str = F16) -> Plan:
    """Return the plan that somebody asked for: ``num_layers``, spread over the devices by their free memory."""
    total = sum(room.free_bytes for room in rooms) or len(rooms)
    counts, given, seen = [], 0, 0
    for room in rooms:
        seen += room.free_bytes if total != len(rooms) else 1
        upto = round(num_layers * seen / total)
        counts.append(upto - given)
        given = upto
    return Plan(counts=tuple(counts), kv_type=kv_type)


def fits(sizes: ModelSizes, plan: Plan, rooms: Sequence[Room], *, context_tokens: int, batch_tokens: int) -> bool:
    """Whether each device has the memory for what a plan gives it."""
    fixed = _fixed_bytes(sizes, context_tokens, batch_tokens)
    first = sizes.num_layers - plan.num_layers
    if first > 0 or plan.cpu_experts:
        fixed += _largest_copy(sizes)
    cache = KV_TYPES[plan.kv_type].size_bytes(sizes.cache_per_token * context_tokens)
    placed = _units(sizes, first, plan.cpu_experts, cache)
    for room, count in zip(rooms, plan.counts, strict=True):
        if sum(placed[:count]) > _usable(room, fixed):
            return False
        placed = placed[count:]
    return True


def _units(sizes: ModelSizes, first: int, experts_behind: Container[int], cache_bytes: int) -> list[int]:
    """Sizes of the layers from ``first`` on and of the output."""
    kept = [0 if index in experts_behind else size for index, size in enumerate(sizes.experts)]
    return [sizes.layers[i] + kept[i] + cache_bytes for i in range(first, len(sizes.layers))] + [sizes.output]


def _usable(room: Room, fixed: int, share: float = 1.0) -> int:
    return max(0, int((room.free_bytes - _reserve(room)) * share) - fixed)


def _reserve(room: Room) -> int:
    """What is left to the desktop and to the driver."""
    return max(LEAST_RESERVE_BYTES, int(room.total_bytes * RESERVED_SHARE))


def _fixed_bytes(sizes: ModelSizes, context_tokens: int, batch_tokens: int) -> int:
    """What a step needs on each device beside weights and cache."""
    row = sizes.width * WIDTHS + sizes.feed_forward * FEED_FORWARDS
    return batch_tokens * (row * VALUE_BYTES + context_tokens * MASK_BYTES)


def _largest_copy(sizes: ModelSizes) -> int:
    """The largest tensor of a layer, of its experts where it has some; half of them all, to be on the safe side."""
    return max([*sizes.experts, *(() if sizes.has_experts else sizes.layers)], default=0) // 2


def _spread(units: Sequence[int], usable: Sequence[int]) -> tuple[int, ...]:
    """Put neighbouring units on the devices in turn; how many each got, or nothing when they don't all fit.

    A single device that holds everything does so alone: what passes between devices costs time.
    """
    total = sum(units)
    alone = max(range(len(usable)), key=lambda index: usable[index], default=None)
    if alone is not None and usable[alone] >= total:
        return tuple(len(units) if index == alone else 0 for index in range(len(usable)))
    counts, position = [], 0
    for room in usable:
        start, left = position, room
        while position < len(units) and units[position] <= left:
            left -= units[position]
            position += 1
        counts.append(position - start)
    return tuple(counts) if position == len(units) else ()


def _least(attempt: Callable[[int], tuple[int, ...]], limit: int) -> tuple[int, tuple[int, ...]] | None:
    """Return the least number up to ``limit`` with which ``attempt`` succeeds, and its result."""
    for number in range(limit + 1):
        if counts := attempt(number):
            return number, counts
    return None
