"""Asks a backend's driver for its devices, in a child process, and remembers the answer.

The answer is a :class:`Finding`: devices, or why there are none, in words that follow the backend's name and a colon.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtime.devices.child import NOT_ASKED
from runtime.devices.device import NonsenseError, parse_device
from runtime.devices.drivers import loader_name, loader_present
from runtime.devices.memory import key_of
from runtime.devices.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from runtime.devices.child import ChildReport, ChildRunner
    from runtime.devices.device import Device
    from runtime.devices.memory import ResultMemory

LIST_LIMIT_S = 3.5
SOFTWARE_LIST_LIMIT_S = 2.0
VISIBLE_VARIABLE = "GGML_VK_VISIBLE_DEVICES"
NO_DEVICE = "the loader is there, but no driver offers a device"
NO_TIME = "there was no time left to ask the driver"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a backend has: ``devices``, or a ``problem``. ``variables`` must be set to load it the same way again."""

    devices: tuple[Device, ...] = ()
    problem: str = ""
    variables: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        devices = [device.to_json() for device in self.devices]
        return {"devices": devices, "problem": self.problem, "variables": [list(pair) for pair in self.variables]}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Finds the devices of backends; ``identity()`` is what drivers are known by, asked for where there is a loader."""

    runner: ChildRunner
    memory: ResultMemory
    identity: Callable[[], list[Any]]
    environ: Mapping[str, str]
    has_loader: Callable[[str], bool] = loader_present
    patience: Patience = field(default_factory=Patience)

    def find(self, backend: str, path: Path, *, again: bool = False, anew: bool = False) -> Finding:
        """Return the finding for the backend in the library ``path``.

        ``again`` takes no remembered trouble, ``anew`` nothing that is remembered.
        """
        if not self.has_loader(backend):
            return Finding(problem=f"no driver on this machine ({loader_name(backend)} was not found)")
        key = key_of("devices", backend, _stamp(path), self.identity())
        known = None if anew else _recalled(self.memory.recall_believed(key))
        if known is not None and not (again and known.problem):
            return known
        if not self.patience.share(LIST_LIMIT_S):
            return Finding(problem=NO_TIME)
        finding = self._ask(backend, path)
        if finding.problem:
            self.memory.remember_trouble(key, finding.to_json())
        else:
            self.memory.remember(key, finding.to_json())
        return finding

    def _ask(self, backend: str, path: Path) -> Finding:
        """Ask the driver; where it has no device, ask once more for renderers on the CPU, which ggml leaves out."""
        task = {"task": "list", "backend": backend, "path": str(path)}
        finding = _understand(self.runner.run(task, limit_s=self.patience.share(LIST_LIMIT_S)))
        if finding.problem != NO_DEVICE or backend != "vulkan" or VISIBLE_VARIABLE in self.environ:
            return finding
        limit_s = self.patience.share(SOFTWARE_LIST_LIMIT_S)
        if not limit_s:
            return finding
        variables = {VISIBLE_VARIABLE: "0"}
        report = self.runner.run({**task, "software": True}, limit_s=limit_s, variables=variables)
        software = _understand(report)
        if not software.devices:
            return finding
        return Finding(devices=software.devices, variables=tuple(variables.items()))


def _understand(report: ChildReport) -> Finding:
    devices = []
    try:
        for result in report.results:
            if "nonsense" in result:
                raise NonsenseError(str(result["nonsense"]))
            if "problem" in result:
                return Finding(problem=f"the driver can't be used ({_shortened(str(result['problem']))})")
            if "device" in result:
                devices.append(parse_device(result["device"]))
    except NonsenseError as error:
        return Finding(problem=f"the driver's answer makes no sense: {error}")
    if report.failure is not None:
        when = "" if report.failure.startswith(NOT_ASKED) else " when it was asked for its devices"
        return Finding(problem=f"the driver {report.failure}{when}")
    return Finding(devices=tuple(devices), problem="" if devices else NO_DEVICE)


def _shortened(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:160]}..."


def _recalled(value: dict[str, Any] | None) -> Finding | None:
    """Read a remembered finding; a file that somebody else wrote counts as none."""
    if value is None:
        return None
    try:
        devices = tuple(parse_device(device) for device in value["devices"])
        variables = tuple((str(name), str(text)) for name, text in value["variables"])
        return Finding(devices=devices, problem=str(value["problem"]), variables=variables)
    except (KeyError, TypeError, ValueError):
        return None


def _stamp(path: Path) -> list[Any]:
    found = path.stat()
    return [str(path), found.st_size, int(found.st_mtime)]
