"""Has a device compared with the CPU in a child process, and remembers the verdict."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.devices.calibration import NOT_COMPARED, Verdict, judge
from runtime.devices.calibration_model import write_calibration_model
from runtime.devices.memory import BELIEVED, key_of
from runtime.devices.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.devices.child import ChildRunner
    from runtime.devices.device import Device
    from runtime.devices.memory import ResultMemory

HARDWARE_LIMIT_S = 6.0
SOFTWARE_LIMIT_S = 4.0
NO_TIME = "there was no time left to compare it with the CPU"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares devices with ``num_threads`` threads of the processor that ``cpu`` names.

    ``identity()`` is what drivers are known by.
    """

    runner: ChildRunner
    memory: ResultMemory
    identity: Callable[[], list[Any]]
    num_threads: int
    cpu: str
    patience: Patience = field(default_factory=Patience)

    def verdict(self, device: Device, path: Path, variables: tuple[tuple[str, str], ...]) -> Verdict:
        """Return the verdict about a device of the backend in the library ``path``."""
        key = key_of("verdict", device.backend, device.name, device.description, str(path), self.identity(),
                     self.num_threads, self.cpu)  # fmt: skip
        known = self.memory.recall_believed(key)
        if known is not None and type(known.get("speedup")) in {int, float}:
            return Verdict(speedup=known["speedup"], problem=str(known.get("problem", "")))
        limit_s = self.patience.share(SOFTWARE_LIMIT_S if device.kind == "software" else HARDWARE_LIMIT_S)
        if not limit_s:
            return Verdict(speedup=0.0, problem=NO_TIME)
        verdict = self._compare(device, path, variables, limit_s)
        value = {"speedup": verdict.speedup, "problem": verdict.problem}
        if verdict.problem:
            # A card may be busy otherwise, or its driver may compile; a renderer on the CPU is as slow every time.
            self.memory.remember_trouble(key, value, least_times=BELIEVED if device.kind == "software" else 1)
        else:
            self.memory.remember(key, value)
        return verdict

    def _compare(self, device: Device, path: Path, variables: tuple[tuple[str, str], ...], limit_s: float) -> Verdict:
        try:
            with tempfile.TemporaryDirectory(prefix="packer-", ignore_cleanup_errors=True) as directory:
                model = None
                if device.kind != "software":
                    model = Path(directory) / "comparison.gguf"
                    write_calibration_model(model)
                task = {
                    "task": "compare",
                    "path": str(path),
                    "index": device.index,
                    "model": str(model) if model else None,
                    "threads": self.num_threads,
                }
                report = self.runner.run(task, limit_s=limit_s, variables=dict(variables))
        except OSError as error:
            return Verdict(speedup=0.0, problem=f"{NOT_COMPARED} ({error.strerror or error})")
        return judge(device, report.results, report.failure)
