"""Memory, processors and their name, as Windows tells them (sysinfoapi.h, winbase.h, the registry)."""

from __future__ import annotations

import ctypes
import sys
from ctypes import wintypes

if sys.platform != "win32":
    raise ImportError("this module is for Windows")

import winreg

PROCESSOR_KEY = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
RELATION_PROCESSOR_CORE = 0
CORE_HEADER_BYTES = 8


class _MemoryStatus(ctypes.Structure):
    _fields_ = (
        ("length", wintypes.DWORD),
        ("load_percent", wintypes.DWORD),
        ("total_physical", ctypes.c_uint64),
        ("available_physical", ctypes.c_uint64),
        ("total_page_file", ctypes.c_uint64),
        ("available_page_file", ctypes.c_uint64),
        ("total_virtual", ctypes.c_uint64),
        ("available_virtual", ctypes.c_uint64),
        ("available_extended_virtual", ctypes.c_uint64),
    )


class _ProcessMemory(ctypes.Structure):
    _fields_ = (
        ("length", wintypes.DWORD),
        ("page_faults", wintypes.DWORD),
        ("peak_working_set", ctypes.c_size_t),
        ("working_set", ctypes.c_size_t),
        ("quota_peak_paged", ctypes.c_size_t),
        ("quota_paged", ctypes.c_size_t),
        ("quota_peak_non_paged", ctypes.c_size_t),
        ("quota_non_paged", ctypes.c_size_t),
        ("page_file", ctypes.c_size_t),
        ("peak_page_file", ctypes.c_size_t),
        ("private", ctypes.c_size_t),
    )


def process_memory() -> dict[str, int] | None:
    """Memory of this process's own and pages mapped from files, in bytes (``PROCESS_MEMORY_COUNTERS_EX``).

    Windows does not count mapped pages by themselves: they are what the working set holds beyond private memory.
    """
    found = _process_memory()
    if found is None:
        return None
    return {"own_bytes": int(found.private), "mapped_bytes": max(0, int(found.working_set) - int(found.private))}


def page_faults() -> int:
    """How often this process needed a page of memory that it did not have, since it began; 0 where unsaid."""
    found = _process_memory()
    return int(found.page_faults) if found else 0


def _process_memory() -> _ProcessMemory | None:
    kernel = ctypes.WinDLL("kernel32")
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    kernel.K32GetProcessMemoryInfo.argtypes = [wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD]
    found = _ProcessMemory(length=ctypes.sizeof(_ProcessMemory))
    if not kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(found), ctypes.sizeof(found)):
        return None
    return found


def available_memory_bytes() -> int | None:
    """Physical memory that can be had without paging, or ``None`` when Windows does not say."""
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    if not ctypes.WinDLL("kernel32").GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.available_physical)


def usable_cpus() -> frozenset[int]:
    """The CPUs of this process's affinity mask; empty when Windows does not say."""
    kernel = ctypes.WinDLL("kernel32")
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    kernel.GetProcessAffinityMask.argtypes = [wintypes.HANDLE, ctypes.c_void_p, ctypes.c_void_p]
    process_mask, system_mask = ctypes.c_size_t(), ctypes.c_size_t()
    pointers = ctypes.byref(process_mask), ctypes.byref(system_mask)
    if not kernel.GetProcessAffinityMask(kernel.GetCurrentProcess(), *pointers):
        return frozenset()
    return frozenset(bit for bit in range(64) if process_mask.value >> bit & 1)


def physical_cores() -> int | None:
    """Number of physical cores, or ``None`` when Windows does not say (``GetLogicalProcessorInformationEx``)."""
    kernel = ctypes.WinDLL("kernel32")
    size = wintypes.DWORD(0)
    kernel.GetLogicalProcessorInformationEx(RELATION_PROCESSOR_CORE, None, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(max(1, size.value))
    if not kernel.GetLogicalProcessorInformationEx(RELATION_PROCESSOR_CORE, buffer, ctypes.byref(size)):
        return None
    cores, offset = 0, 0
    while offset + CORE_HEADER_BYTES <= size.value:
        record_bytes = int.from_bytes(buffer.raw[offset + 4 : offset + 8], "little")
        if record_bytes < CORE_HEADER_BYTES:
            return None
        cores, offset = cores + 1, offset + record_bytes
    return cores or None


def processor_name() -> str | None:
    """The first processor's name, or ``None``."""
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, PROCESSOR_KEY) as key:
            name = str(winreg.QueryValueEx(key, "ProcessorNameString")[0])
    except OSError:
        return None
    return " ".join(name.split()) or None
