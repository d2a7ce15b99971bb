"""Hears of exceptions that would end this process, in threads that no Python called (errhandlingapi.h)."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.platform != "win32":
    raise ImportError("this module is for Windows")

CONTINUE_SEARCH = 0
CAUGHT = "exception: "
FIRST_EXCEPTION_CODE = 0x20000000


class _Record(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint32),)


class _Pointers(ctypes.Structure):
    _fields_ = (("record", ctypes.POINTER(_Record)), ("context", ctypes.c_void_p))


class ExceptionFilter:
    """Calls ``on_crash`` with the cause, such as ``exception 0xc0000005``; when that returns, the process ends."""

    def __init__(self, on_crash: Callable[[str], None]) -> None:
        """Prepare."""
        self._on_crash = on_crash
        self._callback: Any = ctypes.WINFUNCTYPE(ctypes.c_long, ctypes.POINTER(_Pointers))(self._filter)
        self._set = ctypes.WinDLL("kernel32").SetUnhandledExceptionFilter
        self._set.argtypes, self._set.restype = [ctypes.c_void_p], ctypes.c_void_p

    def install(self) -> None:
        """Hear of exceptions from now on."""
        self._set(ctypes.cast(self._callback, ctypes.c_void_p))

    def remove(self) -> None:
        """Let them end the process again."""
        self._set(None)

    def _filter(self, pointers: Any) -> int:
        self._on_crash(f"exception {pointers.contents.record.contents.code:#x}")
        return CONTINUE_SEARCH


def crash_in(error: Exception) -> str:
    """Return the cause when ``error`` is what ctypes makes of a crash in a library; empty for any other error."""
    if not isinstance(error, OSError):
        return ""
    if str(error).startswith(CAUGHT):
        return str(error).removeprefix(CAUGHT)
    code = (error.winerror or 0) & 0xFFFFFFFF
    return f"exception {code:#x}" if code >= FIRST_EXCEPTION_CODE else ""
