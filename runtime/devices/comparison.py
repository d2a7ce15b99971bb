"""Has a device compared with the CPU in a child process, and remembers the verdict."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.devices.calibration import Verdict, judge
from runtime.devices.calibration_model import write_calibration_model
from runtime.devices.memory import key_of

if TYPE_CHECKING:
    from runtime.devices.child import ChildRunner
    from runtime.devices.device import Device
    from runtime.devices.memory import ResultMemory

HARDWARE_LIMIT_S = 6.0
SOFTWARE_LIMIT_S = 4.0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares devices with ``num_threads`` threads of the processor that ``cpu`` names."""

    runner: ChildRunner
    memory: ResultMemory
    identity: list[Any]
    num_threads: int
    cpu: str

    def verdict(self, device: Device, path: Path, variables: tuple[tuple[str, str], ...]) -> Verdict:
        """Return the verdict about a device of the backend in the library ``path``."""
        key = key_of("verdict", device.backend, device.name, device.description, str(path), self.identity,
                     self.num_threads, self.cpu)  # fmt: skip
        known = self.memory.recall(key)
        if known is not None and type(known.get("speedup")) in {int, float}:
            return Verdict(speedup=known["speedup"], problem=str(known.get("problem", "")))
        verdict = self._compare(device, path, variables)
        if verdict.lasting:
            self.memory.remember(key, {"speedup": verdict.speedup, "problem": verdict.problem})
        return verdict

    def _compare(self, device: Device, path: Path, variables: tuple[tuple[str, str], ...]) -> Verdict:
        try:
            with tempfile.TemporaryDirectory(prefix="packer-") as directory:
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
                limit_s = SOFTWARE_LIMIT_S if device.kind == "software" else HARDWARE_LIMIT_S
                report = self.runner.run(task, limit_s=limit_s, variables=dict(variables))
        except OSError as error:
            return Verdict(speedup=0.0, problem=f"it could not be compared ({error.strerror})", lasting=False)
        return judge(device, report.results, report.failure)
