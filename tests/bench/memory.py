"""How much memory a running program holds that no file backs, from /proc (proc_pid_status(5))."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

PROC = Path("/proc")
UNBACKED = re.compile(r"^Rss(?:Anon|Shmem):\s+(\d+) kB$", re.MULTILINE)
PARENT = re.compile(r"^PPid:\s+(\d+)$", re.MULTILINE)


def anonymous_bytes(process_id: int) -> int:
    """Resident memory of a process and all its descendants that is not the content of a file."""
    statuses = {}
    for path in PROC.glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # ended meanwhile
            statuses[int(path.parent.name)] = path.read_text(encoding="utf-8", errors="replace")
    family = {process_id}
    while grown := {one for one, text in statuses.items() if _parent(text) in family} - family:
        family |= grown
    return sum(int(size) * 1024 for one in family for size in UNBACKED.findall(statuses.get(one, "")))


def _parent(status: str) -> int | None:
    found = PARENT.search(status)
    return int(found[1]) if found else None
