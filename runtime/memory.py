"""How much memory this process may still take, so that a context that can't fit is refused instead of killed.

On Windows it is the available physical memory.

Sources: proc(5) MemAvailable, Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.current).
"""

from __future__ import annotations

import os
import re
from pathlib import Path


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the bytes available to new allocations, read under ``root``; ``None`` when the system does not say."""
    if os.name == "nt":
        from runtime.windows.machine import available_memory_bytes

        return available_memory_bytes()
    limits = [limit for limit in (_mem_available(root), _cgroup_headroom(root)) if limit is not None]
    return min(limits, default=None)


def usage(root: Path = Path("/")) -> dict[str, int] | None:
    """Return what this process holds: memory of its own, pages mapped from files (the model), and what is left.

    ``None`` when the system does not say. Source: proc(5), RssAnon and RssFile of /proc/pid/status.
    """
    if os.name == "nt":
        from runtime.windows.machine import process_memory

        held, available = process_memory(), available_bytes()
        return {**held, "available_bytes": available} if held is not None and available is not None else None
    sizes = dict(re.findall(r"^(RssAnon|RssFile):\s+(\d+) kB$", _read(root / "proc/self/status") or "", re.MULTILINE))
    available = available_bytes(root)
    if len(sizes) < 2 or available is None:
        return None
    own, mapped = int(sizes["RssAnon"]) * 1024, int(sizes["RssFile"]) * 1024
    return {"own_bytes": own, "mapped_bytes": mapped, "available_bytes": available}


def _mem_available(root: Path) -> int | None:
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        key, _, value = line.partition(":")
        parts = value.split()
        if key == "MemAvailable" and parts and parts[0].isdigit():
            return int(parts[0]) * 1024
    return None


def _cgroup_headroom(root: Path) -> int | None:
    """Return what the cgroup at the root of this namespace leaves; page cache counts as free."""
    folder = root / "sys/fs/cgroup"
    limit, current = _read(folder / "memory.max") or "", _read(folder / "memory.current") or ""
    if not limit.isdigit() or not current.isdigit():
        return None
    cache = 0
    for line in (_read(folder / "memory.stat") or "").splitlines():
        key, _, value = line.partition(" ")
        if key == "file" and value.isdigit():
            cache = int(value)
    return max(0, int(limit) - int(current) + cache)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
