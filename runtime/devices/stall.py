"""Notices that this process does nothing at all any more: a driver that never returns.

Time alone tells nothing, since drivers compile and weights are read from slow disks. A process that neither computes
nor reads, though, waits; and one that waits for a device so long waits in vain.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

STALL_S = 6.0
POLL_S = 0.5
IDLE_SHARE = 0.03
"""Of one processor's time: what the rest of the program takes while it waits for the model."""

IDLE_PAGES = 16
"""Pages or blocks read between two polls that are no reading yet."""

LONGEST_POLL_S = 3.0
"""When a poll comes later than that, the process was stopped or the machine asleep: nothing can be said about it."""

Work = tuple[float, int]
"""Seconds of processor time that this process has taken, and pages and blocks that it has read from files."""


def work_done() -> Work:
    """Return how much this process has done since it began (getrusage(2))."""
    if sys.platform == "win32":
        from runtime.windows.machine import page_faults

        return time.process_time(), page_faults()
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_majflt + usage.ru_inblock


class StallWatch:
    """A thread that calls ``on_stall`` once, when nothing has been done for ``limit_s`` seconds in a ``with`` block."""

    def __init__(
        self,
        on_stall: Callable[[], None],
        *,
        limit_s: float = STALL_S,
        poll_s: float = POLL_S,
        done: Callable[[], Work] = work_done,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; the thread runs from the beginning of the block to its end."""
        self._on_stall = on_stall
        self._limit_s = limit_s
        self._poll_s = poll_s
        self._done = done
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall watch", daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Watch no longer."""
        self._ended.set()

    def _watch(self) -> None:
        idle_s, seen_s, before = 0.0, self._clock(), self._done()
        while not self._ended.wait(self._poll_s):
            now_s, now = self._clock(), self._done()
            passed_s = now_s - seen_s
            is_idle = now[0] - before[0] < passed_s * IDLE_SHARE and now[1] - before[1] < IDLE_PAGES
            idle_s = idle_s + passed_s if is_idle and passed_s < LONGEST_POLL_S else 0.0
            seen_s, before = now_s, now
            if idle_s >= self._limit_s and not self._ended.is_set():
                self._on_stall()
                return
