"""What a device is: the value type that probing gives and everything else works with, and its form as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

DeviceKind = Literal["discrete", "integrated", "software"]

BACKEND_NAMES = {"vulkan": "Vulkan", "cuda": "CUDA"}
"""The backends that this program knows, and how to write them."""

MAX_DEVICES = 32
MAX_TEXT_CHARACTERS = 200
LARGEST_MEMORY_BYTES = 4 << 40


@dataclass(frozen=True, kw_only=True)
class Device:
    """One device of a backend; ``index`` is its place in the backend, ``name`` ggml's, such as ``Vulkan0``."""

    backend: str
    index: int
    name: str
    description: str
    kind: DeviceKind
    total_bytes: int
    free_bytes: int
    driver: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        """Return for example ``Radeon RX 6700 (Vulkan)``."""
        return f"{self.description} ({BACKEND_NAMES.get(self.backend, self.backend)})"


class NonsenseError(ValueError):
    """A driver's answer that can't be true; ``str(error)`` says what is wrong with it."""


def parse_device(value: Any) -> Device:
    """Build a device from what a child process reported. Raises NonsenseError."""
    try:
        device = Device(**value)
    except TypeError as error:
        raise NonsenseError(f"a device is described as {str(value)[:80]}") from error
    for name, text in (("name", device.name), ("description", device.description), ("driver", device.driver)):
        if type(text) is not str or len(text) > MAX_TEXT_CHARACTERS or not text.isprintable():
            raise NonsenseError(f"a device's {name} is {ascii(text)[:80]}")
    if not device.name or not device.description:
        raise NonsenseError("a device has no name")
    if device.kind not in get_args(DeviceKind) or type(device.index) is not int or device.index < 0:
        raise NonsenseError(f"{device.name} is of kind {device.kind!r} at index {device.index!r}")
    _check_memory(device)
    return device


def _check_memory(device: Device) -> None:
    for size in (device.free_bytes, device.total_bytes):
        if type(size) is not int or size < 0:
            raise NonsenseError(f"{device.name} reports {size!r} bytes of memory")
    if device.total_bytes > LARGEST_MEMORY_BYTES or device.free_bytes > device.total_bytes:
        total, free = device.total_bytes >> 20, device.free_bytes >> 20
        raise NonsenseError(f"{device.name} reports {free:,} MiB free of {total:,} MiB of memory")
