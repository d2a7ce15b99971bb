"""What identifies this machine's GPU drivers, found without loading any: files, versions and devices on the bus.

When any of it changes, what drivers answered before no longer counts. Sources: the Vulkan loader's documentation of
driver manifests (LoaderDriverInterface.md), /proc/driver/nvidia, sysfs-bus-pci.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LOADERS = {"vulkan": {"linux": "libvulkan.so.1", "win32": "vulkan-1.dll"}, "cuda": {"linux": "libcuda.so.1",
                                                                                  "win32": "nvcuda.dll"}}  # fmt: skip
MANIFESTS = (
    "etc/vulkan/icd.d", "usr/share/vulkan/icd.d", "usr/local/share/vulkan/icd.d", "usr/local/etc/vulkan/icd.d",
)  # fmt: skip
VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES", "GGML_VK_VISIBLE_DEVICES",
             "CUDA_VISIBLE_DEVICES", "XDG_DATA_DIRS", "HOME")  # fmt: skip
DISPLAY_CLASS = "0x03"
ACCELERATOR_CLASS = "0x12"


def loader_name(backend: str) -> str:
    """The file name of the system's library that a backend needs."""
    return LOADERS[backend].get(sys.platform, LOADERS[backend]["linux"])


def loader_present(backend: str) -> bool:
    """Tell whether this system has that library; it loads no driver by itself."""
    try:
        ctypes.CDLL(loader_name(backend))
    except OSError:
        return False
    return True


def driver_identity(environ: Mapping[str, str], root: Path = Path("/")) -> list[Any]:
    """Return plain JSON values that change with drivers and devices."""
    home = Path(environ["HOME"]) if environ.get("HOME") else None
    places = [root / place for place in MANIFESTS]
    places += [home / ".local/share/vulkan/icd.d", home / ".config/vulkan/icd.d"] if home else []
    manifests = [[str(path), *_stamp(path)] for place in places for path in sorted(place.glob("*.json"))]
    libraries = [_stamp(path) for path in _libraries(root)]
    nvidia = _read(root / "proc/driver/nvidia/version").partition("\n")[0]
    variables = {name: environ[name] for name in VARIABLES if name in environ}
    return [platform.release(), platform.machine(), manifests, libraries, nvidia, _bus(root), variables, *_windows()]


def _libraries(root: Path) -> list[Path]:
    """The drivers' libraries where they usually stand, whatever the manifests call them."""
    folders = [root / "usr/lib/x86_64-linux-gnu", root / "usr/lib64", root / "usr/lib"]
    patterns = ("libvulkan*.so*", "libcuda.so*", "libGLX_nvidia.so*")
    return sorted(path for folder in folders for pattern in patterns for path in folder.glob(pattern))


def _bus(root: Path) -> list[list[str]]:
    """Vendor and device numbers of the display controllers and accelerators."""
    found = []
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        if _read(device / "class").startswith((DISPLAY_CLASS, ACCELERATOR_CLASS)):
            found.append([device.name, _read(device / "vendor"), _read(device / "device")])
    return found


def _windows() -> list[Any]:
    if sys.platform != "win32":
        return []
    folder = Path(os.environ.get("SYSTEMROOT", "C:\\Windows")) / "System32"
    names = [name for systems in LOADERS.values() for name in systems.values()]
    store = folder / "DriverStore" / "FileRepository"
    return [[_stamp(folder / name) for name in names], _stamp(store)]


def _stamp(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, int(found.st_mtime)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
