"""Where the time of a start goes: parts of it with begin and end, told as a table or as JSON by ``--timings``.

Parts overlap, since the model is loaded by a thread of its own while the page is served. The launcher hands over its
part in ``PACKER_STARTED_MS``, by the clock that ``time.perf_counter`` reads (CLOCK_MONOTONIC, or Windows'
QueryPerformanceCounter): when it started, when it began to look for the unpacked runtime, and when that was there.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from runtime.report import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STARTED_VARIABLE = "PACKER_STARTED_MS"
LAUNCHER, UNPACK, PYTHON = "launcher", "unpack", "Python"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the start, in seconds since the process began; ``begin_s`` equals ``end_s`` for an event."""

    name: str
    begin_s: float
    end_s: float


class Timings:
    """Collects parts, from any thread; ``clock`` gives seconds. Tells them only when that is ``wanted``."""

    def __init__(self, handed_over: str = "", *, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin now, or when the launcher did if ``handed_over`` is what it says."""
        self.wanted = self.as_json = False
        self._clock = clock
        self._lock = threading.Lock()
        self._parts: list[Part] = []
        self._told: list[Part] = []
        now_s = clock()
        self._origin_s = now_s
        with contextlib.suppress(ValueError):
            started_s, cache_s, there_s = (float(text) / 1000 for text in handed_over.split())
            if started_s <= cache_s <= there_s <= now_s:
                self._origin_s = started_s
                self._add(LAUNCHER, started_s, cache_s)
                self._add(UNPACK, cache_s, there_s)
                self._add(PYTHON, there_s, now_s)

    def _add(self, name: str, begin_s: float, end_s: float) -> None:
        part = Part(name=name, begin_s=begin_s - self._origin_s, end_s=end_s - self._origin_s)
        with self._lock:
            self._parts.append(part)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure the block."""
        begin_s = self._clock()
        try:
            yield
        finally:
            self._add(name, begin_s, self._clock())

    def event(self, name: str) -> None:
        """Note that something has happened."""
        now_s = self._clock()
        self._add(name, now_s, now_s)

    def first_token(self) -> None:
        """Note the event that a person waits for, and tell it."""
        self.event("first token")
        self.tell()

    @property
    def parts(self) -> list[Part]:
        """All that ended so far, in the order of their beginnings."""
        with self._lock:
            return sorted(self._parts, key=lambda part: (part.begin_s, part.end_s))

    def tell(self) -> None:
        """Print what has ended since the last time, in milliseconds or as one line of JSON, on standard error."""
        if not self.wanted:
            return
        new, is_first = [part for part in self.parts if part not in self._told], not self._told
        self._told += new
        say(to_json(new) if self.as_json else table(new, with_head=is_first), sys.stderr)


def table(parts: Sequence[Part], *, with_head: bool) -> str:
    """Show parts in milliseconds, those that overlap too."""
    lines = [f"{'start, ms':22}{'from':>9}{'to':>9}{'took':>9}"] if with_head else []
    for part in parts:
        begin, end = 1000 * part.begin_s, 1000 * part.end_s
        took = f"{end - begin:9.1f}" if end > begin else ""
        lines.append(f"{part.name:22}{begin:9.1f}{end:9.1f}{took}")
    return "\n".join(lines)


def to_json(parts: Sequence[Part]) -> str:
    """Serialise on one line, in seconds."""
    return json.dumps({"start": [asdict(part) for part in parts]})
