"""Learns what a step costs on this machine and model, and says how many streams to run together.

One token for two streams in one batch usually takes less time than two batches, but not always: with some
quantizations on some processors it takes more. So the duration of a step is kept by its number of rows, as a moving
average, and the group with the most tokens a second wins. Sizes that lose are tried again now and then, since costs
change with the length of the chats and with what else the machine does.

It reads no clock; durations are given to it.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_SAMPLES = 3
WEIGHT = 0.2
STALE_WEIGHT = 0.5
PROMPT_WEIGHT = 0.3
OUTLIER = 1.25
ADVANTAGE = 1.03
PROBE_STEPS = 32
PROBE_SHARE = 0.005
TILE_TOKENS = 64
"""ggml's attention on processors works on tiles of so many rows (``GGML_FA_TILE_Q``); one row more costs a tile more,
and below one tile it is twice as slow for a token."""
PAUSE_S = 0.2
PAUSE_STEPS = 6


@dataclass(kw_only=True)
class _Cost:
    """Moving average of a duration, and the latest sample: in which step, and after how much time in steps."""

    duration_s: float
    num_samples: int
    seen_at_step: int
    seen_at_s: float


class StepCosts:
    """Durations of steps by number of decode rows, and of prompt tokens."""

    def __init__(self) -> None:
        """Begin knowing nothing."""
        self._rows: dict[int, _Cost] = {}
        self._num_steps = 0
        self._elapsed_s = 0.0
        self._prompt_token_s: float | None = None

    def record(self, *, num_rows: int, num_prompt_tokens: int, duration_s: float) -> None:
        """Learn from a step of ``num_rows`` streams and ``num_prompt_tokens`` of prompts."""
        if num_prompt_tokens == 0:
            self._record_rows(num_rows, duration_s)
        elif num_prompt_tokens >= TILE_TOKENS // 2:
            token_s = duration_s / (num_prompt_tokens + num_rows)
            known = self._prompt_token_s
            self._prompt_token_s = token_s if known is None else known + PROMPT_WEIGHT * (token_s - known)

    def _record_rows(self, num_rows: int, duration_s: float) -> None:
        """Take the least of the first samples, which pay for warming up; average, without outliers, from then on."""
        self._num_steps += 1
        self._elapsed_s += duration_s
        cost = self._rows.setdefault(num_rows, _Cost(duration_s=duration_s, num_samples=0, seen_at_step=0, seen_at_s=0))
        if cost.num_samples < FIRST_SAMPLES:
            cost.duration_s = min(cost.duration_s, duration_s)
        else:
            weight = STALE_WEIGHT if self._num_steps - cost.seen_at_step > PROBE_STEPS else WEIGHT
            cost.duration_s += weight * (min(duration_s, OUTLIER * cost.duration_s) - cost.duration_s)
        cost.num_samples += 1
        cost.seen_at_step, cost.seen_at_s = self._num_steps, self._elapsed_s

    def group_size(self, num_streams: int) -> int:
        """Return how many of ``num_streams`` to run in the next step; the others have their turn in later steps."""
        sizes = candidate_sizes(num_streams)
        unknown = [size for size in sizes if size not in self._rows or self._rows[size].num_samples < FIRST_SAMPLES]
        if unknown:
            return max(unknown)
        rates = {size: size / max(self._rows[size].duration_s, 1e-9) for size in sizes}
        best = max(sizes, key=lambda size: rates[size])
        if rates[best] < ADVANTAGE * rates[num_streams]:
            best = num_streams
        stale = [size for size in sizes if size != best and self._is_stale(size, rates[size] / rates[best])]
        return min(stale, key=lambda size: self._rows[size].seen_at_step) if stale else best

    def _is_stale(self, size: int, relative_rate: float) -> bool:
        """Tell whether to try ``size`` again: not often, and less often the more time such a step wastes."""
        cost = self._rows[size]
        waste_s = cost.duration_s * max(0.0, 1 - relative_rate)
        is_affordable = waste_s <= PROBE_SHARE * (self._elapsed_s - cost.seen_at_s)
        return is_affordable and self._num_steps - cost.seen_at_step > PROBE_STEPS

    def step_tokens(self, num_rows: int) -> int:
        """Return how many tokens, prompts included, make a step in which ``num_rows`` streams pause only briefly.

        The pause aimed at is 0.2 s, or six ordinary steps where these are slow: less would cost the prompt too
        much, as each step repeats the rows of the streams. Whole tiles, and at least one.
        """
        if self._prompt_token_s is None:
            return TILE_TOKENS
        cost = self._rows.get(num_rows) or self._rows.get(1)
        pause_s = max(PAUSE_S, PAUSE_STEPS * cost.duration_s if cost else 0.0)
        return max(1, int(pause_s / max(self._prompt_token_s, 1e-9)) // TILE_TOKENS) * TILE_TOKENS


def candidate_sizes(num_streams: int) -> list[int]:
    """Return the group sizes worth comparing: 1, 2, 3, 4, 8, 16 and so on, and all streams together."""
    powers = [1 << exponent for exponent in range(num_streams.bit_length())]
    return sorted({size for size in (*powers, 3, num_streams) if size <= num_streams})
