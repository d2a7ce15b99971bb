"""Counts what the requests of this run cost: requests, tokens and seconds. Knows nothing about HTTP or Prometheus."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runtime.engine.sequence import Failed, Finished

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.chat_reply import ChatEvent


@dataclass(kw_only=True)
class Counts:
    """Totals since the start, but ``waiting`` (no event yet) and ``running``, which count requests in progress.

    ``outcomes`` counts ended requests by reason. ``prefill_s`` sums up the time from asking to the first event, and so
    includes queueing; ``decode_s`` that from the first event to the last.
    """

    waiting: int = 0
    running: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    reused_tokens: int = 0
    generated_tokens: int = 0
    prefix_hits: int = 0
    prefill_s: float = 0.0
    decode_s: float = 0.0


class Metrics:
    """The counts of one application; usable from any thread."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._clock_s = clock_s
        self._counts = Counts()

    def observe(self) -> Observer:
        """Count one more request, which waits now."""
        with self._lock:
            self._counts.waiting += 1
        return Observer(self._counts, self._lock, self._clock_s)

    def refuse(self) -> None:
        """Count a request that the engine did not take: its queue is full, or the prompt does not fit."""
        with self._lock:
            self._counts.outcomes["refused"] += 1

    def snapshot(self) -> Counts:
        """Return a copy of the counts."""
        with self._lock:
            return Counts(**{**vars(self._counts), "outcomes": Counter(self._counts.outcomes)})


class Observer:
    """Follows one request."""

    def __init__(self, counts: Counts, lock: threading.Lock, clock_s: Callable[[], float]) -> None:
        """Begin now, waiting."""
        self._counts = counts
        self._lock = lock
        self._clock_s = clock_s
        self._began_s = clock_s()
        self._first_s: float | None = None
        self._ended = False

    def event(self, event: ChatEvent) -> None:
        """Take note of an event of the request."""
        with self._lock:
            if self._ended:
                return
            counts, now_s = self._counts, self._clock_s()
            if self._first_s is None:
                self._first_s = now_s
                counts.waiting -= 1
                counts.running += 1
                counts.prefill_s += now_s - self._began_s
            if isinstance(event, Finished):
                counts.prompt_tokens += event.usage.num_prompt_tokens
                counts.reused_tokens += event.usage.num_reused_tokens
                counts.generated_tokens += event.usage.num_generated_tokens
                counts.prefix_hits += event.usage.num_reused_tokens > 0
                self._end(event.reason)
            elif isinstance(event, Failed):
                self._end("failed")

    def close(self) -> None:
        """Take note that nobody waits for the request any more; harmless after its end."""
        with self._lock:
            self._end("cancelled")

    def _end(self, outcome: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._counts.outcomes[outcome] += 1
        if self._first_s is None:
            self._counts.waiting -= 1
        else:
            self._counts.running -= 1
            self._counts.decode_s += self._clock_s() - self._first_s
