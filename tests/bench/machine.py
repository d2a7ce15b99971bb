"""Says how busy the machine was while something was measured, so that a disturbed run is seen as such."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
IDLE_FIELDS = (3, 4)
STEAL_FIELD = 7
GUEST_FIELD = 8
"""Guest time is part of user time already (proc(5))."""
QUIET_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Busyness:
    """Shares of all processors' time, 0.0 to 1.0: spent by others than the measured processes, and stolen."""

    others: float
    stolen: float
    load_average: float

    def __str__(self) -> str:
        """One line for people."""
        word = "quiet" if self.others + self.stolen < QUIET_SHARE else "DISTURBED: do not trust these figures"
        return f"other programs {self.others:.0%}, stolen {self.stolen:.0%}, load {self.load_average:.1f} ({word})"


class BusyMeter:
    """Counts from its making on; ``process_ids`` are the measured ones, beside this process."""

    def __init__(self, *process_ids: int) -> None:
        """Take the first sample."""
        self._process_ids = (os.getpid(), *process_ids)
        self._start, self._own_start = _ticks(), self._own_ticks()

    def read(self) -> Busyness:
        """Compare with the first sample."""
        passed = [now - then for now, then in zip(_ticks(), self._start, strict=True)]
        total = max(1, sum(passed))
        stolen = passed[STEAL_FIELD]
        busy = total - stolen - sum(passed[field] for field in IDLE_FIELDS)
        return Busyness(
            others=max(0, busy - (self._own_ticks() - self._own_start)) / total,
            stolen=stolen / total,
            load_average=os.getloadavg()[0],
        )

    def _own_ticks(self) -> int:
        return sum(cpu_ticks(process_id) for process_id in self._process_ids)


def cpu_ticks(process_id: int) -> int:
    """User and system time of a process and of its children that have ended, in ticks (proc(5), fields 14 to 17)."""
    fields = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def cpu_seconds(process_id: int) -> float:
    """The same in seconds."""
    return cpu_ticks(process_id) / os.sysconf("SC_CLK_TCK")


def _ticks() -> list[int]:
    return [int(field) for field in STAT.read_text(encoding="ascii").splitlines()[0].split()[1 : GUEST_FIELD + 1]]
