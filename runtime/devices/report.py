"""What is said about the device in use: in the start lines, on the page, in ``/health``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.devices.device import Device
    from runtime.devices.fit import Plan

CPU_BACKEND = "cpu"


@dataclass(frozen=True, kw_only=True)
class DeviceReport:
    """``name`` and ``why`` in words; ``layers`` of ``num_layers`` are on the ``devices`` of ``backend``."""

    name: str
    why: str
    backend: str = CPU_BACKEND
    devices: tuple[str, ...] = ()
    layers: int = 0
    num_layers: int = 0

    def also(self, reason: str) -> DeviceReport:
        """Return the report with one reason more."""
        return replace(self, why=f"{self.why}; {reason}")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "why": self.why,
            "backend": self.backend,
            "devices": list(self.devices),
            "layers": self.layers,
            "num_layers": self.num_layers,
        }


LOOKING = DeviceReport(name="looking for a GPU", why="the model is being loaded")
"""Said until the model is loaded, where there may be a device."""


PICTURES_NO_ROOM = "pictures are read on the CPU: the model leaves no room for the projector"
PICTURES_NOT_LOADED = "pictures are read on the CPU: the projector could not be loaded on the GPU"


def cpu_report(cpu: str, why: str) -> DeviceReport:
    """The CPU computes everything."""
    return DeviceReport(name=f"CPU: {cpu}", why=why)


def gpu_report(devices: Sequence[Device], plan: Plan, num_layers: int, *, reasons: Sequence[str]) -> DeviceReport:
    """The devices compute some or all layers."""
    used = [device for device, count in zip(devices, plan.counts, strict=True) if count]
    everything = plan.num_layers >= num_layers
    layers = f"all {num_layers} layers" if everything else f"{plan.num_layers} of {num_layers} layers"
    details = [layers]
    if plan.cpu_experts:
        details.append(f"the experts of {len(plan.cpu_experts)} stay on the CPU")
    if plan.kv_type != "f16":
        details.append("KV cache in 8 bits")
    names = " + ".join(str(device) for device in used)
    return DeviceReport(
        name=f"GPU: {names}",
        why="; ".join([*details, *reasons]),
        backend=used[0].backend,
        devices=tuple(device.description for device in used),
        layers=plan.num_layers,
        num_layers=num_layers,
    )
