"""Where the parts of a model go: which devices, how many layers, which experts stay behind, how the cache is kept."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from runtime.llama.kv_types import F16

EXPERTS_PATTERN = r"blk\.({})\.ffn_(up|down|gate|gate_up)_(ch|)exps"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """``devices`` are ggml's pointers; the output counts as one of the ``num_layers`` that go there.

    ``shares`` are the devices' parts of these layers, ``cpu_experts`` the layers whose experts stay in plain memory.
    ``has_projector`` says that the projector goes on the first device.
    """

    devices: tuple[int, ...] = ()
    num_layers: int = 0
    shares: tuple[float, ...] = ()
    cpu_experts: tuple[int, ...] = ()
    kv_type: str = F16
    has_projector: bool = False

    @property
    def projector_device(self) -> int | None:
        """The device that reads pictures; ``None`` is the CPU."""
        return self.devices[0] if self.has_projector and self.devices else None


CPU_ONLY = Placement()


class _BufferOverride(ctypes.Structure):
    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


def apply_placement(params: Any, placement: Placement, *, max_devices: int, cpu_buffer_type: int | None) -> list[Any]:
    """Set the fields of ``llama_model_params``; return what must stay alive until the model is loaded.

    The list of devices is never left out: without one, llama.cpp takes whatever devices there are.
    """
    devices = (ctypes.c_void_p * (len(placement.devices) + 1))(*placement.devices, None)
    params.devices = ctypes.cast(devices, ctypes.c_void_p)
    params.n_gpu_layers = placement.num_layers if placement.devices else 0
    kept: list[Any] = [devices]
    if len(placement.devices) > 1:
        shares = (ctypes.c_float * max_devices)(*placement.shares)
        params.tensor_split = ctypes.cast(shares, ctypes.POINTER(ctypes.c_float))
        kept.append(shares)
    if placement.cpu_experts and placement.devices:
        pattern = EXPERTS_PATTERN.format("|".join(map(str, placement.cpu_experts))).encode()
        overrides = (_BufferOverride * 2)(_BufferOverride(pattern, cpu_buffer_type), _BufferOverride(None, None))
        params.tensor_buft_overrides = ctypes.cast(overrides, ctypes.c_void_p)
        kept.append(overrides)
    return kept
