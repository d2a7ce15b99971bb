"""Chooses between the devices and the CPU, and says why.

Asked for nothing in particular, it takes the first backend with devices that win against the CPU: dedicated ones where
there are any, else integrated ones. Asked for a backend or a device, it takes that without a comparison. Every road
that does not end on a device ends on the CPU with one line.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from packer.errors import InputError
from runtime.devices.device import BACKEND_NAMES
from runtime.devices.ggml import describe_device, device_memory, device_pointers, load_backend
from runtime.devices.memory import ABRUPT_ENDS, key_of
from runtime.devices.recovery import Recovery, crash_key, unguarded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runtime.devices.comparison import Comparison
    from runtime.devices.device import Device
    from runtime.devices.memory import ResultMemory
    from runtime.devices.probe import Finding, Probe
    from runtime.llama.library import Library

_LOG = logging.getLogger(__name__)

AUTO, OFF = "auto", "off"
PREFERENCE = ("cuda", "vulkan")
"""Only one backend is used at a time, so that no card is used through two; NVIDIA's own is asked first."""

NO_GPU = "this file brings no GPU support"
GONE = "the driver offers its devices no longer"
GPU_OFF = "the GPU is switched off, by --gpu or the settings"


@dataclass(frozen=True, kw_only=True)
class ChosenDevices:
    """The devices to use, with ggml's ``pointers`` to them, and what spoke for them; ``key`` identifies them."""

    devices: tuple[Device, ...]
    pointers: tuple[int, ...]
    why: str
    key: str


@dataclass(frozen=True, kw_only=True)
class NoDevice:
    """The CPU it is, and why."""

    why: str


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    devices: tuple[Device, ...]
    finding: Finding
    why: str


@dataclass(frozen=True, kw_only=True)
class DeviceChooser:
    """Chooses for one run. ``backends`` are the libraries that this file brings, by the backend's name.

    ``trouble`` is what became of devices in the program that this one was started in place of: then it is the CPU.
    """

    wanted: str
    backends: Mapping[str, Path]
    probe: Probe
    comparison: Comparison
    memory: ResultMemory
    recovery: Recovery = field(default_factory=unguarded)
    trouble: str = ""

    def choose(self, library: Library) -> ChosenDevices | NoDevice:
        """Choose, and load the backend of the devices. Raises InputError when what is asked for can't be had here."""
        found = self._decide()
        if not isinstance(found, _Candidate):
            return found
        name = BACKEND_NAMES[found.devices[0].backend]
        try:
            with self.memory.trying(_key(found.devices)):
                chosen = self._loaded(library, found)
                if chosen is None:
                    # What is remembered is of other devices, or of another order of them.
                    anew = self._with_devices_of(found, self._finding(found.devices[0].backend, anew=True))
                    chosen = self._loaded(library, anew) if anew else None
        except OSError as error:  # on Windows: ctypes, of a crash inside the driver
            return NoDevice(why=f"{name}: the driver crashed ({error}) when it was asked for its devices")
        return chosen or NoDevice(why=f"{name}: {GONE}")

    def preview(self) -> tuple[tuple[Device, ...], str]:
        """Return the devices that would be chosen, with the memory that is free now, and why; or none, and why not.

        Loads nothing into this process.
        """
        found = self._decide()
        if not isinstance(found, _Candidate):
            return (), found.why
        anew = self._with_devices_of(found, self._finding(found.devices[0].backend, anew=True))
        return (anew or found).devices, found.why

    @staticmethod
    def _with_devices_of(found: _Candidate, finding: Finding) -> _Candidate | None:
        """The same candidate with its devices as they are in ``finding``; ``None`` when one of them is not there."""
        left = list(finding.devices)
        devices = []
        for device in found.devices:
            same = next((one for one in left if _is_same(one, device)), None)
            if same is None:
                return None
            left.remove(same)
            devices.append(same)
        return replace(found, devices=tuple(devices), finding=finding)

    def _decide(self) -> _Candidate | NoDevice:
        self.check_wanted()
        if why := self.why_not_even_ask():
            return NoDevice(why=why)
        if self.wanted == AUTO:
            return self._automatic()
        return self._of_backend(self.wanted) if self.wanted in BACKEND_NAMES else self._by_name()

    def why_not_even_ask(self) -> str:
        """Say why no driver needs to be asked; empty where one does."""
        if self.wanted == OFF:
            return GPU_OFF
        if self.trouble:
            return self.trouble
        return "" if self.backends else NO_GPU

    def check_wanted(self) -> None:
        """Raise InputError when a backend is asked for that this file does not bring, or nothing; asks no driver."""
        if self.wanted in {AUTO, OFF} or self.wanted in self.backends:
            return
        if not self.wanted:
            raise InputError(f"--gpu: expected {self._choices()} or (part of) the name of a device, found nothing")
        if self.wanted in BACKEND_NAMES or not self.backends:
            what = BACKEND_NAMES.get(self.wanted, "GPU")
            advice = "use --gpu vulkan" if "vulkan" in self.backends else "pack it with packer build --gpu vulkan"
            works = ", which works with NVIDIA's driver" if self.wanted == "cuda" else ""
            raise InputError(f"--gpu {self.wanted}: this file brings no {what} support; {advice}{works}")

    def _choices(self) -> str:
        return ", ".join((AUTO, OFF, *self.backends))

    def _finding(self, backend: str, *, again: bool = False, anew: bool = False) -> Finding:
        return self.probe.find(backend, self.backends[backend], again=again, anew=anew)

    def _automatic(self) -> _Candidate | NoDevice:
        reasons = []
        for backend in (name for name in PREFERENCE if name in self.backends):
            finding = self._finding(backend)
            devices = _best_kind(finding.devices)
            if not devices:
                reasons.append(f"{BACKEND_NAMES[backend]}: {finding.problem}")
                continue
            winners, texts = self._compared(devices, finding)
            if not winners:
                reasons += texts
            elif self.memory.abrupt_ends(_key(winners)) >= ABRUPT_ENDS:
                reasons.append(f"{winners[0]}: the last starts with it ended abruptly; --gpu {backend} tries again")
            elif crash := self.memory.recall_believed(crash_key(winners)):
                reasons.append(f"{crash['problem']}; that came more than once; --gpu {backend} tries again")
            else:
                return _Candidate(devices=winners, finding=finding, why=texts[0])
        return NoDevice(why="; ".join(reasons) or NO_GPU)

    def _compared(self, devices: tuple[Device, ...], finding: Finding) -> tuple[tuple[Device, ...], list[str]]:
        """Return the devices that win, with why; or none, with why not. Devices of one model are compared once."""
        winners, won, lost = [], [], []
        verdicts = {}
        for device in devices:
            if device.description not in verdicts:
                path = self.backends[device.backend]
                verdicts[device.description] = self.comparison.verdict(device, path, finding.variables)
            verdict = verdicts[device.description]
            if verdict.device_wins and device.kind != "software":
                winners.append(device)
                won.append(f"{verdict.in_words()} than the CPU")
                continue
            words = "which is never used by itself" if verdict.device_wins else verdict.in_words()
            kind = " is a software renderer" if device.kind == "software" else ""
            lost.append(f"{BACKEND_NAMES[device.backend]}: device {device.description}{kind}, {words}")
        return tuple(winners), won if winners else lost

    def _of_backend(self, backend: str) -> _Candidate | NoDevice:
        finding = self._finding(backend, again=True)
        devices = _best_kind(finding.devices)
        if not devices:
            return NoDevice(why=f"{BACKEND_NAMES[backend]}: {finding.problem}")
        return _Candidate(devices=devices, finding=finding, why="as asked for")

    def _by_name(self) -> _Candidate | NoDevice:
        everything = []
        for backend in (name for name in PREFERENCE if name in self.backends):
            finding = self._finding(backend, again=True)
            everything += [(device, finding) for device in finding.devices]
        text = self.wanted.casefold()
        matching = [
            pair for pair in everything if text == pair[0].name.casefold() or text in pair[0].description.casefold()
        ]
        if not matching:
            known = ", ".join(f"{device.name} ({device.description})" for device, _finding in everything)
            raise InputError(
                f"--gpu {self.wanted}: no device is called so; expected {self._choices()} or one of this machine's "
                f"devices ({known or 'it has none that this file can use'})"
            )
        finding = matching[0][1]
        devices = tuple(device for device, its in matching if its is finding)
        return _Candidate(devices=devices, finding=finding, why="as asked for")

    def _loaded(self, library: Library, found: _Candidate) -> ChosenDevices | None:
        """Load the backend into this process and find the devices in it again; ``None`` when they are not there."""
        for name, value in found.finding.variables:
            os.environ[name] = value
        with self.recovery.loading(library, found.devices):
            return self._found_again(library, found)

    def _found_again(self, library: Library, found: _Candidate) -> ChosenDevices | None:
        backend = found.devices[0].backend
        registry = load_backend(library, self.backends[backend])
        pointers = device_pointers(library, registry) if registry else []
        if not pointers or max(device.index for device in found.devices) >= len(pointers):
            return None
        chosen = tuple(pointers[device.index] for device in found.devices)
        for device, pointer in zip(found.devices, chosen, strict=True):
            there = describe_device(library, pointer, backend=backend, index=device.index, software=False)
            if not _is_same(there, device):
                return None
            _LOG.info("%s: %d MiB of %d free", device, *(size >> 20 for size in device_memory(library, pointer)))
        return ChosenDevices(devices=found.devices, pointers=chosen, why=found.why, key=_key(found.devices))


def plain_choice(text: str) -> str:
    """Return what was asked for without blanks around it; words of this program in small letters."""
    words = text.strip()
    small = words.casefold()
    return small if small in {AUTO, OFF, *BACKEND_NAMES} else words


def _best_kind(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """The dedicated devices, else the integrated ones, else one renderer on the CPU."""
    for kind in ("discrete", "integrated", "software"):
        chosen = tuple(device for device in devices if device.kind == kind)
        if chosen:
            return chosen
    return ()


def _is_same(one: Device, other: Device) -> bool:
    """Whether both are a device of the same model, which can stand in for each other."""
    return (one.backend, one.name, one.description) == (other.backend, other.name, other.description)


def _key(devices: tuple[Device, ...]) -> str:
    return key_of("trying", [[device.backend, device.description, device.driver] for device in devices])
