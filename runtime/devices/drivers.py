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
LIBRARY_FOLDERS = (
    "usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib", "usr/lib/wsl/lib", "usr/local/nvidia/lib64",
)  # fmt: skip
"""Debian's, Fedora's, Arch's; Windows' driver inside WSL; NVIDIA's in containers of old."""

CACHE_OF_LIBRARIES = "etc/ld.so.cache"
DEVICE_FILES = ("dev/dri/*", "dev/nvidia*", "dev/dxg")

VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES", "VK_LOADER_DRIVERS_SELECT",
             "VK_LOADER_DRIVERS_DISABLE", "VK_LOADER_DEVICE_SELECT", "MESA_VK_DEVICE_SELECT", "DRI_PRIME",
             "GGML_VK_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES",
             "XDG_DATA_DIRS", "XDG_CONFIG_HOME", "HOME")  # fmt: skip
DISPLAY_CLASS = "0x03"
ACCELERATOR_CLASS = "0x12"


def loader_name(backend: str) -> str:
    """The file name of the system's library that a backend needs."""
    return LOADERS[backend].get(sys.platform, LOADERS[backend]["linux"])


def loader_present(backend: str) -> bool:
    """Tell whether this system has that library. Vulkan's loads no driver by itself; NVIDIA's is the driver."""
    if backend == "cuda":
        return nvidia_driver_present(os.environ)
    try:
        ctypes.CDLL(loader_name(backend))
    except OSError:
        return False
    return True


def nvidia_driver_present(environ: Mapping[str, str], root: Path = Path("/")) -> bool:
    """Tell whether NVIDIA's driver is where the system would load it from, without loading it."""
    name = loader_name("cuda")
    if sys.platform == "win32":
        return (_system_folder() / name).is_file()
    folders = [*filter(None, environ.get("LD_LIBRARY_PATH", "").split(":")), *LIBRARY_FOLDERS]
    if any((root / folder / name).is_file() for folder in folders):
        return True
    try:
        return f"{name}\0".encode() in (root / CACHE_OF_LIBRARIES).read_bytes()
    except OSError:
        return False


def driver_identity(environ: Mapping[str, str], root: Path = Path("/")) -> list[Any]:
    """Return plain JSON values that change with drivers and devices."""
    home = Path(environ["HOME"]) if environ.get("HOME") else None
    places = [root / place for place in MANIFESTS]
    places += [home / ".local/share/vulkan/icd.d", home / ".config/vulkan/icd.d"] if home else []
    manifests = [[str(path), *_stamp(path)] for place in places for path in sorted(place.glob("*.json"))]
    folders = [*LIBRARY_FOLDERS, *filter(None, environ.get("LD_LIBRARY_PATH", "").split(":"))]
    libraries = [_stamp(path) for folder in folders for path in _libraries(root / folder)]
    nvidia = _read(root / "proc/driver/nvidia/version").partition("\n")[0]
    variables = {name: environ[name] for name in VARIABLES if name in environ}
    bus = [_bus(root), *_device_files(root)]
    return [platform.release(), platform.machine(), manifests, libraries, nvidia, bus, variables, *_windows()]


def _libraries(folder: Path) -> list[Path]:
    """The drivers' libraries in one folder, whatever the manifests call them."""
    patterns = ("libvulkan*.so*", "libcuda.so*", "libGLX_nvidia.so*")
    return sorted(path for pattern in patterns for path in folder.glob(pattern))


def _bus(root: Path) -> list[list[str]]:
    """Vendor and device numbers of the display controllers and accelerators."""
    found = []
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        if _read(device / "class").startswith((DISPLAY_CLASS, ACCELERATOR_CLASS)):
            found.append([device.name, _read(device / "vendor"), _read(device / "device")])
    return found


def _device_files(root: Path) -> list[Any]:
    """What drivers talk to cards by, and the groups that decide whether this process may."""
    names = sorted(str(path.relative_to(root)) for pattern in DEVICE_FILES for path in root.glob(pattern))
    return [names, sorted(os.getgroups()) if sys.platform != "win32" else []]


def _system_folder() -> Path:
    return Path(os.environ.get("SYSTEMROOT", "C:\\Windows")) / "System32"


def _windows() -> list[Any]:
    if sys.platform != "win32":
        return []
    folder = _system_folder()
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
