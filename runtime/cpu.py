"""How many threads to compute with: the physical cores that this process may really use, and why.

More threads than that make generation slower, and under a container's CPU quota much slower: ggml's threads wait for
each other by spinning, so one that is not scheduled holds up the rest. Every file may be absent; that is normal.
Sources: sched(7), Documentation/admin-guide/cgroup-v2.rst (cpu.max), cgroup-v1 cpu.cfs_quota_us, cputopology.rst.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

CGROUP_V1_MOUNTS = ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct")
CGROUP_V2_MOUNTS = ("sys/fs/cgroup", "sys/fs/cgroup/unified")


@dataclass(frozen=True, kw_only=True)
class ThreadChoice:
    """A number of threads and the reason for it, in words."""

    count: int
    why: str


def choose_threads(root: Path = Path("/"), cpus: frozenset[int] | None = None) -> ThreadChoice:
    """Choose from affinity, topology and quota, read under ``root``; ``cpus`` replaces this process's affinity."""
    allowed = usable_cpus() if cpus is None else cpus
    cores = physical_cores(root, allowed)
    count, why = max(1, len(allowed)), _plural(len(allowed), "CPU") + " usable"
    if cores is not None and 0 < cores < count:
        count, why = cores, f"{_plural(cores, 'physical core')}; {len(allowed)} hardware threads share them"
    elif cores is not None:
        why = _plural(count, "physical core") + " usable"
    quota = cgroup_quota(root)
    if quota is not None and quota < count:
        count, why = max(1, math.floor(quota)), f"the container's limit of {quota:g} CPUs"
    return ThreadChoice(count=count, why=why)


def usable_cpus() -> frozenset[int]:
    """Return the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    if os.name == "nt":
        from runtime.windows import machine

        return machine.usable_cpus() or frozenset(range(os.cpu_count() or 1))
    return frozenset(range(os.cpu_count() or 1))


def physical_cores(root: Path, cpus: frozenset[int]) -> int | None:
    """Count the physical cores behind ``cpus``; ``None`` when the kernel does not say for all of them."""
    if os.name == "nt":
        from runtime.windows import machine

        return machine.physical_cores()
    cores = set()
    for cpu in cpus:
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        core, package = _read(topology / "core_id"), _read(topology / "physical_package_id")
        if core is None or package is None:
            return None
        cores.add((package, core))
    return len(cores)


def cgroup_quota(root: Path) -> float | None:
    """Return the tightest CPU limit of this process's cgroups and their parents, in CPUs; ``None`` without one."""
    limits = []
    for controllers, path in _own_cgroups(root):
        if not controllers:
            limits += [_v2_limit(folder) for mount in CGROUP_V2_MOUNTS for folder in _with_parents(root / mount, path)]
        elif "cpu" in controllers:
            limits += [_v1_limit(folder) for mount in CGROUP_V1_MOUNTS for folder in _with_parents(root / mount, path)]
    return min((limit for limit in limits if limit is not None), default=None)


def cpu_model(root: Path = Path("/")) -> str:
    """Return the processor's name from ``/proc/cpuinfo`` or the registry, or ``CPU``."""
    if os.name == "nt":
        from runtime.windows import machine

        return machine.processor_name() or "CPU"
    for line in (_read(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return " ".join(value.split())
    return "CPU"


def _own_cgroups(root: Path) -> list[tuple[frozenset[str], str]]:
    """Parse ``/proc/self/cgroup``: pairs of controllers (none: version 2) and path."""
    groups = []
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _number, _, rest = line.partition(":")
        names, separator, path = rest.partition(":")
        if separator and ".." not in path.split("/"):
            groups.append((frozenset(filter(None, names.split(","))), path))
    return groups


def _with_parents(mount: Path, path: str) -> list[Path]:
    """Return the cgroup folder and all above it, up to the mount point."""
    parts = [part for part in path.split("/") if part]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _v2_limit(folder: Path) -> float | None:
    quota, _, period = (_read(folder / "cpu.max") or "").strip().partition(" ")
    return _ratio(quota, period)


def _v1_limit(folder: Path) -> float | None:
    return _ratio(_read(folder / "cpu.cfs_quota_us") or "", _read(folder / "cpu.cfs_period_us") or "")


def _ratio(quota: str, period: str) -> float | None:
    """Divide quota by period; ``None`` for "max", for -1 and for anything that is no number."""
    try:
        limit = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return limit if limit > 0 else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
