"""ggml's device API through ctypes: load a backend, list its devices, ask for their memory.

Everything here may crash or hang with a bad driver, so a backend is loaded into this process only after a child
process did the same and came back (ggml-backend.h).
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from runtime.devices.device import MAX_DEVICES, MAX_TEXT_CHARACTERS, Device, NonsenseError

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.devices.device import DeviceKind
    from runtime.llama.library import Library

TYPE_CPU, TYPE_GPU, TYPE_INTEGRATED = 0, 1, 2


class _Capabilities(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_bool) for name in ("async_", "host_buffer", "from_host", "events", "mmap"))


class _Properties(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("capabilities", _Capabilities),
    )


def load_backend(library: Library, path: Path) -> int | None:
    """Load the backend library at ``path`` and return its registry, or ``None`` when it can't be loaded."""
    load = library.ggml.ggml_backend_load
    load.argtypes, load.restype = [ctypes.c_char_p], ctypes.c_void_p
    registry: int | None = load(os.fsencode(path))
    return registry


def device_pointers(library: Library, registry: int) -> list[int]:
    """Return ggml's pointers to the devices of a backend. Raises NonsenseError when it claims to have very many."""
    count, get = library.base.ggml_backend_reg_dev_count, library.base.ggml_backend_reg_dev_get
    count.argtypes, count.restype = [ctypes.c_void_p], ctypes.c_size_t
    get.argtypes, get.restype = [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_void_p
    number = int(count(registry))
    if number > MAX_DEVICES:
        raise NonsenseError(f"{number:,} devices are reported")
    return [pointer for pointer in (get(registry, index) for index in range(number)) if pointer]


def describe_device(library: Library, pointer: int, *, backend: str, index: int, software: bool) -> Device:
    """Ask ggml for everything about one device; ``software`` says that it is known to be a renderer on the CPU."""
    get = library.base.ggml_backend_dev_get_props
    get.argtypes, get.restype = [ctypes.c_void_p, ctypes.POINTER(_Properties)], None
    found = _Properties()
    get(pointer, ctypes.byref(found))
    kind: DeviceKind = "integrated" if found.type == TYPE_INTEGRATED else "discrete"
    return Device(
        backend=backend,
        index=index,
        name=_text(found.name),
        description=" ".join(_text(found.description).split()),
        kind="software" if software or found.type == TYPE_CPU else kind,
        total_bytes=int(found.memory_total),
        free_bytes=int(found.memory_free),
    )


def device_memory(library: Library, pointer: int) -> tuple[int, int]:
    """Return the free and the total bytes of a device at this moment."""
    get = library.base.ggml_backend_dev_memory
    get.argtypes, get.restype = [ctypes.c_void_p, *[ctypes.POINTER(ctypes.c_size_t)] * 2], None
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    get(pointer, ctypes.byref(free), ctypes.byref(total))
    return int(free.value), int(total.value)


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "backslashreplace")[: MAX_TEXT_CHARACTERS + 1]
