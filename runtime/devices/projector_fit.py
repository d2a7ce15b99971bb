"""Plans a model together with its projector, which reads pictures on the first of the model's devices or on the CPU.

The language model comes first: the projector takes no layer from a model that fits wholly without it. Of a model that
does not fit wholly anyway, it takes half of the layers at most. It knows neither ggml nor a driver.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runtime.devices.fit import MEBIBYTE, fits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.devices.fit import Plan, Room
    from runtime.llama.model_sizes import ModelSizes
    from runtime.llama.projector import ProjectorSizes

COMPUTE_FACTOR = 2
"""Upstream measures with a picture of usual size, and the largest ones become larger."""

DRIVER_BYTES = 64 * MEBIBYTE
"""What a backend takes for itself when it computes with weights of another kind."""

LEAST_SHARE = 0.5


def projector_room(sizes: ProjectorSizes) -> int:
    """Return the bytes that a device should have for a projector."""
    return sizes.weights_bytes + COMPUTE_FACTOR * sizes.compute_bytes + DRIVER_BYTES


def plan_with_projector(
    make_plan: Callable[[Sequence[Room]], Plan | None],
    sizes: ModelSizes,
    rooms: Sequence[Room],
    projector_bytes: int,
    *,
    context_tokens: int,
    batch_tokens: int,
) -> Plan | None:
    """Return the plan that ``make_plan`` makes for a model, with its projector on the first device where it has room.

    ``None`` where the model alone is not worth a device.
    """
    alone = make_plan(rooms)
    if alone is None or alone.num_layers == 0:
        return alone
    for index, room in enumerate(rooms):
        if projector_bytes > room.free_bytes:
            continue
        left = [*rooms[:index], replace(room, free_bytes=room.free_bytes - projector_bytes), *rooms[index + 1 :]]
        plan = make_plan(left)
        if plan is None or plan.first_device != index or _loses_much(plan, alone, sizes.num_layers):
            continue
        if fits(sizes, plan, left, context_tokens=context_tokens, batch_tokens=batch_tokens):
            return replace(plan, has_projector=True)
    return alone


def _loses_much(plan: Plan, alone: Plan, num_layers: int) -> bool:
    if plan.num_layers < alone.num_layers * LEAST_SHARE:
        return True
    return _is_whole(alone, num_layers) and not _is_whole(plan, num_layers)


def _is_whole(plan: Plan, num_layers: int) -> bool:
    return plan.num_layers >= num_layers and not plan.cpu_experts
