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
from runtime.devices.memory import DAY_S, LONGEST_S, ResultMemory
from runtime.devices.patience import Patience

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
        runner=playing,
        memory=ResultMemory(directory=memory),
        identity=lambda: ["driver 1"],
        num_threads=4,
        cpu="Test CPU",
    )


def test_the_second_start_uses_the_verdict_of_the_first(tmp_path: Path) -> None:
    runner = CountingRunner(ChildReport(results=RESULTS, failure=None))
    first = start(tmp_path, runner).verdict(CARD, LIBRARY, ())
    assert first.device_wins
    assert start(tmp_path, runner).verdict(replace(CARD, free_bytes=2), LIBRARY, ()) == first
    assert len(runner.tasks) == 1


@pytest.mark.parametrize(
    "changes",
    [{"identity": lambda: ["driver 2"]}, {"num_threads": 8}, {"cpu": "Other CPU"}],
    ids=["driver", "threads", "cpu"],
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


@pytest.mark.parametrize(("kind", "comparisons"), [("discrete", [1, 2, 2, 3]), ("software", [1, 1, 1, 2])])
@pytest.mark.parametrize("failure", ["did not answer within 4 s", "crashed (SIGSEGV)"])
def test_trouble_is_believed_when_it_comes_twice_and_for_a_day(
    tmp_path: Path, kind: Any, comparisons: list[int], failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card may have been busy with something else; a renderer on the CPU is slow every time."""
    monkeypatch.setattr(comparison, "write_calibration_model", lambda path: path.touch())
    runner = CountingRunner(ChildReport(results=[], failure=failure))
    asked = []
    for start_number in range(4):
        if start_number == 3:
            (kept,) = tmp_path.iterdir()
            long_ago = kept.stat().st_mtime - DAY_S - 60
            os.utime(kept, (long_ago, long_ago))
        assert not start(tmp_path, runner).verdict(replace(CARD, kind=kind), LIBRARY, ()).device_wins
        asked.append(len(runner.tasks))
    assert asked == comparisons


def test_a_comparison_that_works_again_counts_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "write_calibration_model", lambda path: path.touch())
    card = replace(CARD, kind="discrete")
    busy = CountingRunner(ChildReport(results=[], failure="did not answer within 6 s"))
    assert not start(tmp_path, busy).verdict(card, LIBRARY, ()).device_wins
    free = CountingRunner(ChildReport(results=RESULTS, failure=None))
    for _start in range(2):
        assert start(tmp_path, free).verdict(card, LIBRARY, ()).device_wins
    assert len(free.tasks) == 1


def test_without_time_left_nothing_is_asked_or_remembered(tmp_path: Path) -> None:
    runner = CountingRunner(ChildReport(results=RESULTS, failure=None))
    verdict = replace(start(tmp_path, runner), patience=Patience(whole_s=0.1)).verdict(CARD, LIBRARY, ())
    assert verdict.problem == "there was no time left to compare it with the CPU"
    assert (runner.tasks, list(tmp_path.iterdir())) == ([], [])
