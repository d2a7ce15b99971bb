"""What a comparison with the CPU found is remembered, for as long as it would be found again."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from runtime.devices import comparison
from runtime.devices.child import ChildReport
from runtime.devices.comparison import Comparison
from runtime.devices.device import Device
from runtime.devices.memory import LONGEST_S, ResultMemory

CARD = Device(
    backend="vulkan", index=0, name="Vulkan0", description="Card", kind="software", total_bytes=8 << 30, free_bytes=1
)  # fmt: skip
LIBRARY = Path("entry") / "libggml-vulkan.so"
RESULTS: list[dict[str, Any]] = [{"cpu_decode": 100.0}, {"error": 1e-5}, {"device_decode": 400.0}]


@dataclass
class CountingRunner:
    """Stands for the child processes: every task ends the same way, and is counted."""

    report: ChildReport
    tasks: list[object] = field(default_factory=list)

    def run(self, task: object, **_options: object) -> ChildReport:
        self.tasks.append(task)
        return self.report


def start(memory: Path, runner: CountingRunner) -> Comparison:
    """What a start of the program makes: nothing is shared with an earlier one but the files."""
    playing: Any = runner
    return Comparison(
        runner=playing, memory=ResultMemory(directory=memory), identity=["driver 1"], num_threads=4, cpu="Test CPU"
    )


def test_the_second_start_uses_the_verdict_of_the_first(tmp_path: Path) -> None:
    runner = CountingRunner(ChildReport(results=RESULTS, failure=None))
    first = start(tmp_path, runner).verdict(CARD, LIBRARY, ())
    assert first.device_wins
    assert start(tmp_path, runner).verdict(replace(CARD, free_bytes=2), LIBRARY, ()) == first
    assert len(runner.tasks) == 1


@pytest.mark.parametrize(
    "changes", [{"identity": ["driver 2"]}, {"num_threads": 8}, {"cpu": "Other CPU"}], ids=["driver", "threads", "cpu"]
)
def test_another_driver_or_processor_is_compared_anew(tmp_path: Path, changes: dict[str, Any]) -> None:
    runner = CountingRunner(ChildReport(results=RESULTS, failure=None))
    start(tmp_path, runner).verdict(CARD, LIBRARY, ())
    replace(start(tmp_path, runner), **changes).verdict(CARD, LIBRARY, ())
    assert len(runner.tasks) == 2


@pytest.mark.parametrize("other", [replace(CARD, description="New card"), replace(CARD, name="Vulkan1")])
def test_another_device_is_compared_anew(tmp_path: Path, other: Device) -> None:
    runner = CountingRunner(ChildReport(results=RESULTS, failure=None))
    start(tmp_path, runner).verdict(CARD, LIBRARY, ())
    start(tmp_path, runner).verdict(other, LIBRARY, ())
    assert len(runner.tasks) == 2


def test_another_unpacked_runtime_is_compared_anew(tmp_path: Path) -> None:
    runner = CountingRunner(ChildReport(results=RESULTS, failure=None))
    start(tmp_path, runner).verdict(CARD, LIBRARY, ())
    start(tmp_path, runner).verdict(CARD, Path("newer") / LIBRARY.name, ())
    assert len(runner.tasks) == 2


def test_a_verdict_is_forgotten_after_a_month(tmp_path: Path) -> None:
    runner = CountingRunner(ChildReport(results=RESULTS, failure=None))
    start(tmp_path, runner).verdict(CARD, LIBRARY, ())
    (kept,) = tmp_path.iterdir()
    long_ago = kept.stat().st_mtime - LONGEST_S - 60
    os.utime(kept, (long_ago, long_ago))
    start(tmp_path, runner).verdict(CARD, LIBRARY, ())
    assert len(runner.tasks) == 2


@pytest.mark.parametrize(("kind", "comparisons"), [("discrete", 2), ("software", 1)])
def test_only_a_renderer_that_did_not_answer_in_time_is_left_for_good(
    tmp_path: Path, kind: Any, comparisons: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card may have been busy with something else; a renderer on the CPU is slow every time."""
    monkeypatch.setattr(comparison, "write_calibration_model", lambda path: path.touch())
    runner = CountingRunner(ChildReport(results=[], failure="did not answer within 4 s"))
    for _start in range(2):
        assert not start(tmp_path, runner).verdict(replace(CARD, kind=kind), LIBRARY, ()).device_wins
    assert len(runner.tasks) == comparisons
