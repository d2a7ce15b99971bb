"""Which device is chosen, and the words for it, with drivers that are played."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from packer.errors import InputError
from runtime.devices import choice
from runtime.devices.calibration import Verdict
from runtime.devices.choice import ChosenDevices, DeviceChooser, NoDevice, _key, plain_choice
from runtime.devices.device import Device
from runtime.devices.memory import ResultMemory
from runtime.devices.probe import Finding
from runtime.devices.recovery import crash_key
from runtime.devices.tasks import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

CARD = Device(
    backend="vulkan", index=0, name="Vulkan0", description="Radeon RX 6700", kind="discrete",
    total_bytes=12 << 30, free_bytes=11 << 30,
)  # fmt: skip
SECOND = replace(CARD, index=2, name="Vulkan2")
BUILT_IN = replace(CARD, index=1, name="Vulkan1", description="Intel UHD 630", kind="integrated")
RENDERER = replace(CARD, description="llvmpipe (LLVM 15)", kind="software")
WINS, LOSES = Verdict(speedup=4.2), Verdict(speedup=0.25)


class PlayedProbe:
    def __init__(self, findings: Mapping[str, Finding]) -> None:
        self.findings = findings
        self.again: list[bool] = []
        self.now: Finding | None = None

    def find(self, backend: str, _path: Path, *, again: bool = False, anew: bool = False) -> Finding:
        if anew:
            return self.now or self.findings[backend]
        self.again.append(again)
        return self.findings[backend]


class PlayedComparison:
    def __init__(self, verdicts: Mapping[str, Verdict]) -> None:
        self.verdicts = verdicts
        self.asked: list[str] = []

    def verdict(self, device: Device, _path: Path, _variables: object) -> Verdict:
        self.asked.append(device.name)
        return self.verdicts[device.description]


def chooser(
    wanted: str, *devices: Device, verdicts: Mapping[str, Verdict] | None = None, memory: ResultMemory | None = None
) -> DeviceChooser:
    probe: Any = PlayedProbe({"vulkan": Finding(devices=devices, problem="" if devices else "it is broken")})
    comparison: Any = PlayedComparison(verdicts or {})
    return DeviceChooser(
        wanted=wanted,
        backends={"vulkan": Path("libggml-vulkan.so")},
        probe=probe,
        comparison=comparison,
        memory=memory or ResultMemory(directory=None),
    )


def test_the_card_is_taken_before_what_is_built_in() -> None:
    found = chooser("auto", BUILT_IN, CARD, verdicts={CARD.description: WINS}).preview()
    assert found == ((CARD,), "it is 4.2x faster than the CPU")


def test_two_equal_cards_are_used_together_and_compared_once() -> None:
    chosen = chooser("auto", CARD, SECOND, verdicts={CARD.description: WINS})
    assert chosen.preview()[0] == (CARD, SECOND)
    assert chosen.comparison.asked == ["Vulkan0"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("verdict", "devices"), [(WINS, (BUILT_IN,)), (LOSES, ())])
def test_what_is_built_in_is_used_where_it_helps(verdict: Verdict, devices: tuple[Device, ...]) -> None:
    assert chooser("auto", BUILT_IN, verdicts={BUILT_IN.description: verdict}).preview()[0] == devices


def test_a_renderer_on_the_cpu_is_named_so() -> None:
    found = chooser("auto", RENDERER, verdicts={RENDERER.description: LOSES}).preview()
    assert found == ((), "Vulkan: device llvmpipe (LLVM 15) is a software renderer, CPU is 4.0x faster")


def test_a_renderer_never_wins_by_itself() -> None:
    devices, why = chooser("auto", RENDERER, verdicts={RENDERER.description: WINS}).preview()
    assert devices == ()
    assert why == "Vulkan: device llvmpipe (LLVM 15) is a software renderer, which is never used by itself"


def test_trouble_with_the_driver_is_the_reason() -> None:
    assert chooser("auto").preview() == ((), "Vulkan: it is broken")
    assert chooser("vulkan").preview() == ((), "Vulkan: it is broken")


def test_who_asks_for_the_backend_gets_it_without_a_comparison() -> None:
    chosen = chooser("vulkan", RENDERER)
    assert chosen.preview() == ((RENDERER,), "as asked for")
    assert chosen.probe.again == [True]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["6700", "radeon", "vulkan0", "Radeon RX 6700"])
def test_a_device_can_be_named(name: str) -> None:
    assert chooser(name, BUILT_IN, CARD).preview()[0] == (CARD,)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(InputError) as caught:
        chooser("nosuch", CARD, BUILT_IN).preview()
    message = str(caught.value)
    assert "--gpu nosuch" in message
    assert "expected auto, off, vulkan or one of this machine's devices" in message
    assert "Vulkan0 (Radeon RX 6700), Vulkan1 (Intel UHD 630)" in message
    assert "\n" not in message


def test_a_backend_that_is_not_packed_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="--gpu cuda: this file brings no CUDA support"):
        chooser("cuda", CARD).check_wanted()
    with pytest.raises(InputError, match="use --gpu vulkan, which works with NVIDIA's driver"):
        chooser("cuda", CARD).check_wanted()
    without = replace(chooser("vulkan", CARD), backends={})
    with pytest.raises(InputError, match="packer build --gpu vulkan"):
        without.check_wanted()
    replace(without, wanted="auto").check_wanted()
    replace(without, wanted="off").check_wanted()


@pytest.mark.parametrize(
    ("text", "choice"),
    [("Vulkan", "vulkan"), (" AUTO ", "auto"), ("OFF", "off"), ("CUDA", "cuda"), ("Radeon RX", "Radeon RX"), (" ", "")],
)
def test_words_of_the_program_are_understood_in_capitals(text: str, choice: str) -> None:
    assert plain_choice(text) == choice


def test_nothing_is_no_choice() -> None:
    with pytest.raises(InputError, match="found nothing"):
        chooser("", CARD).check_wanted()


def both(wanted: str, *nvidia: Device, verdicts: Mapping[str, Verdict] | None = None) -> DeviceChooser:
    """A file with CUDA and Vulkan, where Vulkan's driver offers the same cards as CUDA's and those of others."""
    chosen = chooser(wanted, replace(CARD, description="RTX 4070"), SECOND, verdicts=verdicts)
    finding = Finding(devices=nvidia, problem="" if nvidia else "no driver on this machine")
    chosen.probe.findings = {**chosen.probe.findings, "cuda": finding}  # type: ignore[attr-defined]
    return replace(chosen, backends={"vulkan": Path("libggml-vulkan.so"), "cuda": Path("libggml-cuda.so")})


NVIDIA = replace(CARD, backend="cuda", name="CUDA0", description="RTX 4070")


def test_a_card_that_both_drive_is_used_once_and_through_cuda() -> None:
    for wanted in ("auto", "cuda", "RTX 4070"):
        assert both(wanted, NVIDIA, verdicts={"RTX 4070": WINS}).preview()[0] == (NVIDIA,)


def test_where_cuda_finds_nothing_vulkan_is_asked() -> None:
    verdicts = {"RTX 4070": WINS, SECOND.description: WINS}
    devices, _why = both("auto", verdicts=verdicts).preview()
    assert {device.backend for device in devices} == {"vulkan"}
    assert both("cuda").preview() == ((), "CUDA: no driver on this machine")


def test_a_file_with_both_says_so() -> None:
    with pytest.raises(InputError, match="expected auto, off, vulkan, cuda or one of"):
        both("nosuch", NVIDIA).preview()


def test_why_a_driver_refuses_is_told_by_the_backend() -> None:
    lines = ["something else", "ggml_cuda_init: failed to initialize CUDA: CUDA driver version is insufficient"]
    assert refusal(lines) == "CUDA driver version is insufficient"
    assert refusal(lines[:1]) == ""


def test_off_asks_nobody() -> None:
    assert "switched off" in chooser("off", CARD).why_not_even_ask()
    assert chooser("auto", CARD).why_not_even_ask() == ""


def test_a_device_that_ended_two_starts_is_left_alone(tmp_path: Path) -> None:
    memory = ResultMemory(directory=tmp_path)
    chosen = chooser("auto", CARD, verdicts={CARD.description: WINS}, memory=memory)
    assert chosen.preview()[0] == (CARD,)
    for count in (1, 2):
        (tmp_path / f"{_key((CARD,))[:32]}.trying").write_text("1 gone\n" * count)
        devices, why = chosen.preview()
        assert bool(devices) == (count == 1)
    assert "the last starts with it ended abruptly" in why
    with memory.trying(_key((CARD,))):
        pass
    assert chosen.preview()[0] == ()
    memory.succeeded(_key((CARD,)))
    assert chosen.preview()[0] == (CARD,)


def test_a_device_that_crashed_twice_is_left_alone_for_a_day(tmp_path: Path) -> None:
    memory = ResultMemory(directory=tmp_path)
    chosen = chooser("auto", CARD, verdicts={CARD.description: WINS}, memory=memory)
    problem = f"{CARD}: the driver crashed (SIGABRT) while it was in use"
    for count in (1, 2):
        memory.remember_trouble(crash_key((CARD,)), {"problem": problem})
        devices, why = chosen.preview()
        assert bool(devices) == (count == 1)
    assert why == f"{problem}; that came more than once; --gpu vulkan tries again"
    assert replace(chosen, wanted="vulkan").preview()[0] == (CARD,)
    (answer,) = tmp_path.glob("*.json")
    os.utime(answer, (time.time() - 25 * 3600,) * 2)
    assert chosen.preview()[0] == (CARD,)


def test_after_a_crash_the_program_is_started_again_without_devices() -> None:
    chosen = replace(chooser("vulkan", CARD), trouble="RX 6700 (Vulkan): the driver crashed")
    assert chosen.why_not_even_ask() == "RX 6700 (Vulkan): the driver crashed"
    assert chosen.choose(cast("Any", None)) == NoDevice(why="RX 6700 (Vulkan): the driver crashed")


def test_a_card_that_wins_is_left_alone_whatever_stands_beside_it(tmp_path: Path) -> None:
    memory = ResultMemory(directory=tmp_path)
    other = replace(SECOND, description="GT 1030")
    verdicts = {CARD.description: WINS, other.description: LOSES}
    chosen = chooser("auto", CARD, other, verdicts=verdicts, memory=memory)
    (tmp_path / f"{_key((CARD,))[:32]}.trying").write_text("1 gone\n" * 2)
    assert "the last starts with it ended abruptly" in chosen.preview()[1]


def in_another_process(chosen: DeviceChooser, load: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the choice load its backend with ``load``; return how the process ended."""
    monkeypatch.setattr(choice, "load_backend", load)
    pid = os.fork()
    if pid == 0:
        try:
            chosen.choose(cast("Any", None))
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]


def test_a_driver_that_ends_the_program_when_it_is_loaded_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it answered before is remembered, so no child process meets it first."""
    memory = ResultMemory(directory=tmp_path)
    chosen = chooser("auto", CARD, verdicts={CARD.description: WINS}, memory=memory)

    def crash(*_given: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    ends = [in_another_process(chosen, crash, monkeypatch) for _start in range(3)]
    assert ends == [signal.SIGKILL, signal.SIGKILL, 0]
    assert "the last starts with it ended abruptly" in chosen.preview()[1]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    """The devices that ggml has once the backend is loaded, by their places."""
    offered: list[Device] = []
    monkeypatch.setattr(choice, "load_backend", lambda *_given: 1)
    monkeypatch.setattr(choice, "device_pointers", lambda *_given: list(range(10, 10 + len(offered))))
    monkeypatch.setattr(choice, "device_memory", lambda *_given: (1 << 30, 2 << 30))
    monkeypatch.setattr(choice, "describe_device", lambda _library, pointer, **_given: offered[pointer - 10])
    return offered


def test_devices_are_found_again_by_what_they_are(driver: list[Device]) -> None:
    """A card was taken out, and the other one moved up."""
    driver.append(CARD)
    chosen = chooser("auto", replace(CARD, index=1), verdicts={CARD.description: WINS})
    chosen.probe.now = Finding(devices=(CARD,))  # type: ignore[attr-defined]
    found = chosen.choose(cast("Any", None))
    assert isinstance(found, ChosenDevices)
    assert (found.devices, found.pointers) == ((CARD,), (10,))


def test_a_device_that_is_gone_is_not_replaced_by_another(driver: list[Device]) -> None:
    driver.append(replace(CARD, description="GT 1030"))
    chosen = chooser("auto", CARD, verdicts={CARD.description: WINS})
    chosen.probe.now = Finding(devices=(driver[0],))  # type: ignore[attr-defined]
    assert chosen.choose(cast("Any", None)) == NoDevice(why="Vulkan: the driver offers its devices no longer")


def test_what_is_said_is_of_the_memory_that_is_free_now() -> None:
    chosen = chooser("auto", CARD, verdicts={CARD.description: WINS})
    now = replace(CARD, free_bytes=1 << 30)
    chosen.probe.now = Finding(devices=(BUILT_IN, now))  # type: ignore[attr-defined]
    assert chosen.preview()[0] == (now,)
    chosen.probe.now = Finding(problem="it hangs")  # type: ignore[attr-defined]
    assert chosen.preview()[0] == (CARD,)
