"""The policy of a step: who runs, with how many tokens, who is let in, and who has to give way.

Running streams come first: each has its row in every step that reads a prompt (Holmes et al., "DeepSpeed-FastGen",
2024: dynamic split-fuse). What the step's budget leaves goes to prompts. A picture is a step of its
own; streams have one between two pictures. Without prompts, streams run in groups of the size that
:class:`StepCosts` finds fastest, whoever waited longest first. Sequences with different LoRA adapters can't share a
step: they take turns.

Pure: it reads no clock, changes no sequence and does not know the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence as Items

    from runtime.engine.adapters import Scales
    from runtime.engine.pictures import PromptPicture
    from runtime.engine.sequence import Sequence
    from runtime.engine.step_costs import StepCosts

GROWTH_STEP = 256


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a step does for one sequence: run ``num_tokens`` from ``position`` on, which may be a ``picture``."""

    sequence: Sequence
    position: int
    num_tokens: int
    picture: PromptPicture | None = None

    @property
    def is_last(self) -> bool:
        """Whether nothing remains afterwards, so that the next token can be sampled."""
        return self.position + self.num_tokens == len(self.sequence.tokens)


def plan_step(sequences: Items[Sequence], costs: StepCosts, budget_tokens: int) -> list[Part]:
    """Choose the parts of the next step, at most ``budget_tokens`` tokens in all; empty only without sequences."""
    is_beside_streams = any(one.num_remaining == 1 and not one.next_picture for one in sequences)
    sequences = _whose_turn_it_is(sequences)
    pictures = sorted((one for one in sequences if one.next_picture), key=lambda one: one.order)
    texts = [one for one in sequences if not one.next_picture]
    streams = sorted((one for one in texts if one.num_remaining == 1), key=lambda one: (one.last_step, one.order))
    prompts = sorted((one for one in texts if one.num_remaining > 1), key=lambda one: one.order)
    if pictures and (not streams or streams[-1].last_step == max(one.last_step for one in sequences)):
        picture = pictures[0].next_picture
        return [_part(pictures[0], picture.rows.num_tokens, picture)] if picture else []
    if not prompts:
        size = min(costs.group_size(len(streams)), budget_tokens) if streams else 0
        return [_part(one, 1) for one in streams[:size]]
    rows = [_part(one, 1) for one in streams[: max(0, budget_tokens - 1)]]
    limit = min(budget_tokens, costs.step_tokens(max(1, len(rows)))) if is_beside_streams else budget_tokens
    return rows + _read_prompts(prompts, max(1, limit - len(rows)))


def _whose_turn_it_is(sequences: Items[Sequence]) -> Items[Sequence]:
    """Return those with the adapters that were used least lately."""
    groups: dict[Scales, list[Sequence]] = {}
    for one in sequences:
        groups.setdefault(one.adapters, []).append(one)
    if len(groups) < 2:
        return sequences
    return min(groups.values(), key=lambda group: (max(one.last_step for one in group), group[0].order))


def _read_prompts(prompts: list[Sequence], budget_tokens: int) -> list[Part]:
    """Share a budget among prompts: short ones that half of it completes first, then in order of arrival.

    The oldest prompt has at least the other half, so that short ones never hold it up for long.
    """
    shares: dict[int, int] = {}
    for_short = budget_tokens // 2
    for one in sorted(prompts[1:], key=lambda one: one.num_ready):
        if one.num_ready > for_short:
            break
        shares[one.order] = one.num_ready
        for_short -= one.num_ready
    left = budget_tokens - sum(shares.values())
    for one in prompts:
        if one.order not in shares and left > 0:
            shares[one.order] = min(one.num_ready, left)
            left -= shares[one.order]
    return [_part(one, shares[one.order]) for one in prompts if shares.get(one.order)]


def _part(sequence: Sequence, num_tokens: int, picture: PromptPicture | None = None) -> Part:
    return Part(sequence=sequence, position=sequence.num_computed, num_tokens=num_tokens, picture=picture)


def tokens_to_reserve(sequence: Sequence, context_tokens: int, num_slots: int) -> int:
    """Return the cells to keep for a sequence: its prompt and the longest reply it asks for.

    Without a limit that is a fair share of the context, of which at least half is for the reply; should it need more
    later on than there is, the youngest sequence gives way and continues when there is room again.
    """
    limit = sequence.request.max_tokens
    if limit is None:
        share = context_tokens // num_slots
        return min(context_tokens, max(share, len(sequence.tokens) + share // 2))
    return min(context_tokens, sequence.num_prompt + limit)


def is_admissible(
    num_reserved: int, num_shared: int, running: Iterable[Sequence], num_live_cells: int, context_tokens: int
) -> bool:
    """Tell whether ``num_reserved`` cells, ``num_shared`` of them in use anyway, fit beside what is running."""
    growth = sum(max(0, one.num_reserved - one.num_computed) for one in running)
    return num_live_cells + growth + num_reserved - num_shared <= context_tokens


def next_size(num_cells: int, num_wanted: int, limit: int) -> int:
    """Return the size that a cache of ``num_cells`` grows to when ``num_wanted`` are needed, at most ``limit``.

    By half each time, so that moving the chats is rare and at most a third of the cache stands empty afterwards.
    """
    size = num_cells
    while size < num_wanted:
        size = max(size + 1, -(-size * 3 // 2 // GROWTH_STEP) * GROWTH_STEP)
    return min(limit, size)


def choose_to_preempt(running: Items[Sequence]) -> Sequence | None:
    """Return the youngest sequence, which has to give way when room is short; ``None`` when it is the only one."""
    return max(running, key=lambda one: one.order) if len(running) > 1 else None
