"""Drivers that crash, hang, lie or run out of memory: the model runs on the CPU, and one line says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.devices import comparison, patience, probe
from tests.support.real_engine import RealEngine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.devices.attempts import ModelPlacing
    from runtime.devices.memory import ResultMemory
    from runtime.devices.report import DeviceReport
    from runtime.llama.library import Library


def load(library: Library, model: Path, placing: ModelPlacing) -> DeviceReport:
    """Load the model and have it answer; return what is said about the device."""
    reports: list[DeviceReport] = []
    with RealEngine.started(library, model, placing=placing, on_device=reports.append) as engine:
        assert engine.generate("Hello", max_tokens=4).finished.token_ids
    assert len(reports) == 1
    return reports[0]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("CRASH", "Vulkan: the driver crashed (SIGSEGV) when it was asked for its devices"),
        ("TOO_MANY", "Vulkan: the driver's answer makes no sense: 1,000 devices are reported"),
        ("NO_TEXT", "Vulkan: the driver's answer makes no sense: a device's description is"),
        ("TOO_MUCH", "Vulkan: the driver's answer makes no sense: Standin0 reports"),
        ("MORE_FREE_THAN_TOTAL", "reports 9,000 MiB free of 8,192 MiB of memory"),
        ("NOTHING", "Vulkan: the loader is there, but no driver offers a device"),
        ("NO_START", "Vulkan: the loader is there, but no driver offers a device"),
    ],
)
@pytest.mark.parametrize("wanted", ["auto", "vulkan"])
def test_a_bad_driver_costs_one_line(
    library: Library,
    tiny_model: Path,
    stand_in: Callable[[str], Path],
    make_placing: Callable[..., ModelPlacing],
    behaviour: str,
    words: str,
    wanted: str,
) -> None:
    report = load(library, tiny_model, make_placing(stand_in(behaviour), wanted=wanted))
    assert report.backend == "cpu"
    assert report.name == "CPU: Test CPU"
    assert words in report.why
    assert "\n" not in report.why
    assert report.why.isprintable()


def test_a_driver_that_hangs_is_left(
    library: Library,
    tiny_model: Path,
    stand_in: Callable[[str], Path],
    make_placing: Callable[..., ModelPlacing],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    placing = make_placing(stand_in("HANG"))
    monkeypatch.setattr(probe, "LIST_LIMIT_S", 1.5)
    report = load(library, tiny_model, placing)
    assert report.why == "Vulkan: the driver did not answer within 1.5 s when it was asked for its devices"


def test_the_limits_together_stay_below_ten_seconds() -> None:
    """However many backends and cards there are; a single one has all the time that it may take."""
    assert patience.WHOLE_S < 10
    assert probe.LIST_LIMIT_S + comparison.HARDWARE_LIMIT_S <= patience.WHOLE_S
    assert probe.LIST_LIMIT_S + probe.SOFTWARE_LIST_LIMIT_S + comparison.SOFTWARE_LIMIT_S <= patience.WHOLE_S


def test_a_device_that_loses_its_memory_before_the_model_is_loaded(
    library: Library, tiny_model: Path, stand_in: Callable[[str], Path], make_placing: Callable[..., ModelPlacing]
) -> None:
    """It reports 7.5 GiB free and refuses every allocation: less is tried, then the CPU."""
    report = load(library, tiny_model, make_placing(stand_in("PLAIN"), wanted="vulkan"))
    assert report.backend == "cpu"
    assert report.why == "Stand-in GPU (Vulkan): its memory ran out while the model was loaded"


def test_a_device_that_can_not_compute_loses_the_comparison(
    library: Library, tiny_model: Path, stand_in: Callable[[str], Path], make_placing: Callable[..., ModelPlacing]
) -> None:
    report = load(library, tiny_model, make_placing(stand_in("PLAIN")))
    assert report.backend == "cpu"
    assert report.why == (
        "Vulkan: device Stand-in GPU, it could not be compared with the CPU "
        "(the driver refused a small model; its memory may be in use)"
    )


def test_a_backend_that_is_no_library(
    library: Library, tiny_model: Path, make_placing: Callable[..., ModelPlacing], tmp_path: Path
) -> None:
    path = tmp_path / "libggml-vulkan.so"
    path.write_bytes(b"no library")
    report = load(library, tiny_model, make_placing(path))
    assert "Vulkan: the driver can't be used" in report.why
    assert path.name in report.why
    assert str(tmp_path) not in report.why


def test_without_a_loader_nothing_is_asked(
    library: Library,
    tiny_model: Path,
    stand_in: Callable[[str], Path],
    make_placing: Callable[..., ModelPlacing],
    memory: ResultMemory,
) -> None:
    """The backend would crash; that it does not shows that it was not touched."""
    report = load(library, tiny_model, make_placing(stand_in("CRASH"), has_loader=False))
    assert report.why == "Vulkan: no driver on this machine (libvulkan.so.1 was not found)"
    assert memory.directory is not None
    assert not memory.directory.exists()


def test_trouble_is_remembered_and_asking_for_the_backend_asks_again(
    stand_in: Callable[[str], Path], make_placing: Callable[..., ModelPlacing], library: Library
) -> None:
    path = stand_in("CRASH")
    placing = make_placing(path)
    chooser = placing.chooser
    first = [chooser.probe.find("vulkan", path) for _start in range(2)][1]
    asked: list[object] = []
    runner = chooser.probe.runner
    object.__setattr__(chooser.probe, "runner", _Counting(runner, asked))
    assert chooser.probe.find("vulkan", path) == first
    assert asked == []
    assert chooser.probe.find("vulkan", path, again=True) == first
    assert len(asked) == 1


class _Counting:
    def __init__(self, runner: object, asked: list[object]) -> None:
        self._runner, self._asked = runner, asked

    def run(self, task: object, **options: object) -> object:
        self._asked.append(task)
        return self._runner.run(task, **options)  # type: ignore[attr-defined]
