"""The console window: what its closing means to us, and dialogs where there is none (consoleapi.h, winuser.h)."""

from __future__ import annotations

import ctypes
import sys
from ctypes import wintypes
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.platform != "win32":
    raise ImportError("this module is for Windows")

CTRL_CLOSE, CTRL_LOGOFF, CTRL_SHUTDOWN = 2, 5, 6
MB_ICONERROR, MB_SETFOREGROUND = 0x10, 0x10000


class CloseHandler:
    """Calls ``on_close`` when the window is closed, the user logs off or the machine shuts down.

    Windows ends the process as soon as the handler returns, and after five seconds anyway; so ``on_close`` must not
    return before everything is cleaned up. Keep the object as long as the handler is to live.
    """

    def __init__(self, on_close: Callable[[], None]) -> None:
        """Install the handler."""
        self._on_close = on_close
        kind = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)
        self._routine: Any = kind(self._handle)
        ctypes.WinDLL("kernel32").SetConsoleCtrlHandler(self._routine, True)

    def _handle(self, event: int) -> bool:
        if event not in {CTRL_CLOSE, CTRL_LOGOFF, CTRL_SHUTDOWN}:
            return False
        self._on_close()
        return True

    def remove(self) -> None:
        """Remove the handler."""
        ctypes.WinDLL("kernel32").SetConsoleCtrlHandler(self._routine, False)


def show_error(title: str, text: str) -> None:
    """Show a message in a dialog and wait until it is closed."""
    box = ctypes.WinDLL("user32").MessageBoxW
    box.argtypes = [wintypes.HWND, wintypes.LPCWSTR, wintypes.LPCWSTR, wintypes.UINT]
    box(None, text, title, MB_ICONERROR | MB_SETFOREGROUND)
