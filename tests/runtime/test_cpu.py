"""Threads from affinity, topology and quota, on file trees made for the purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.cpu import cgroup_quota, choose_threads, cpu_model, physical_cores

if TYPE_CHECKING:
    from pathlib import Path


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def topology(cores: list[tuple[int, int]]) -> dict[str, str]:
    """Files of CPUs 0, 1, ... with their (package, core)."""
    files = {}
    for cpu, (package, core) in enumerate(cores):
        folder = f"sys/devices/system/cpu/cpu{cpu}/topology"
        files |= {f"{folder}/physical_package_id": f"{package}\n", f"{folder}/core_id": f"{core}\n"}
    return files


def test_nothing_known_takes_the_affinity(tmp_path: Path) -> None:
    choice = choose_threads(tmp_path, frozenset({0, 1, 2}))
    assert (choice.count, choice.why) == (3, "3 CPUs usable")


def test_hyperthreads_count_once(tmp_path: Path) -> None:
    write(tmp_path, topology([(0, 0), (0, 1), (0, 0), (0, 1)]))
    choice = choose_threads(tmp_path, frozenset(range(4)))
    assert (choice.count, choice.why) == (2, "2 physical cores; 4 hardware threads share them")


def test_cores_of_two_packages_are_different(tmp_path: Path) -> None:
    write(tmp_path, topology([(0, 0), (1, 0)]))
    assert physical_cores(tmp_path, frozenset({0, 1})) == 2


def test_only_allowed_cpus_count(tmp_path: Path) -> None:
    write(tmp_path, topology([(0, 0), (0, 1), (0, 0), (0, 1)]))
    assert choose_threads(tmp_path, frozenset({1, 3})).count == 1


@pytest.mark.parametrize(("limit", "count"), [("150000 100000", 1), ("200000 100000", 2), ("50000 100000", 1)])
def test_cgroup_v2_quota(tmp_path: Path, limit: str, count: int) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/cpu.max": limit + "\n"})
    choice = choose_threads(tmp_path, frozenset(range(8)))
    assert choice.count == count
    assert "limit of" in choice.why


def test_a_parent_may_have_the_tightest_quota(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/app\n",
            "sys/fs/cgroup/pod/app/cpu.max": "max 100000",
            "sys/fs/cgroup/pod/cpu.max": "300000 100000",
            "sys/fs/cgroup/cpu.max": "800000 100000",
        },
    )
    assert cgroup_quota(tmp_path) == 3


def test_cgroup_v1_quota(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/a\n3:cpu,cpuacct:/a\n0::/\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "250000",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000",
        },
    )
    assert cgroup_quota(tmp_path) == 2.5


@pytest.mark.parametrize("text", ["max 100000", "-1 100000", "0 0", "nonsense", ""])
def test_no_limit(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": text})
    assert cgroup_quota(tmp_path) is None


def test_a_cgroup_path_cannot_leave_the_tree(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/../../x\n", "x/cpu.max": "100000 100000"})
    assert cgroup_quota(tmp_path / "deep") is None
    assert cgroup_quota(tmp_path) is None


def test_cpu_model(tmp_path: Path) -> None:
    assert cpu_model(tmp_path) == "CPU"
    write(tmp_path, {"proc/cpuinfo": "processor : 0\nmodel name\t: Some   CPU @ 2 GHz\nmodel name : other\n"})
    assert cpu_model(tmp_path) == "Some CPU @ 2 GHz"
