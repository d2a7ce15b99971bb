"""Hears of the end of this process while it still can: the signals of a crash, and the words of ggml's own checks.

The handlers are calls from C into Python. That works where a driver crashed, since it was called through ctypes, which
let go of the interpreter lock. Where it does not work the process ends as it would have without them (signal(7)).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT = 0


def _signals() -> tuple[signal.Signals, ...]:
    """The signals that a crash comes as. Windows has exceptions in their place, but for ``abort()``."""
    if sys.platform == "win32":
        return (signal.SIGABRT,)
    return (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


class CrashSignals:
    """Calls ``on_crash`` with the cause, such as ``SIGSEGV``; when that returns, the process ends by the signal."""

    def __init__(self, libc: ctypes.CDLL, on_crash: Callable[[str], None]) -> None:
        """Prepare; ``libc`` is the C library that the native libraries use."""
        self._set = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(("signal", libc))
        self._on_crash = on_crash
        self._callback = ctypes.CFUNCTYPE(None, ctypes.c_int)(self._handle)
        self._before: dict[int, int | None] = {}

    def install(self) -> None:
        """Hear of crashes from now on."""
        address = ctypes.cast(self._callback, ctypes.c_void_p)
        for number in _signals():
            self._before.setdefault(number, self._set(number, address))

    def remove(self) -> None:
        """Let crashes end the process again."""
        for number, handler in self._before.items():
            self._set(number, handler)
        self._before.clear()

    def _handle(self, number: int) -> None:
        try:
            self._on_crash(signal.Signals(number).name)
        finally:
            self._set(number, DEFAULT)
            if sys.platform != "win32":
                os.kill(os.getpid(), number)


class AbortWords:
    """Keeps what ggml says before it ends the process, which it would print together with a list of calls (ggml.h)."""

    def __init__(self, base: ctypes.CDLL, errors: Callable[[], list[str]]) -> None:
        """Prepare; ``base`` is ggml's base library, ``errors()`` the lines that it has logged."""
        self._base = base
        self._errors = errors
        self._callback: Any = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(self._keep)
        self.words = ""

    def install(self) -> None:
        """Keep the words from now on."""
        self._set(self._callback)

    def remove(self) -> None:
        """Have them printed again."""
        self._set(None)

    def _set(self, callback: Any) -> None:
        function = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(("ggml_set_abort_callback", self._base))
        function(ctypes.cast(callback, ctypes.c_void_p) if callback else None)

    def _keep(self, message: bytes | None) -> None:
        """Keep a message such as ``/src/x.cu:98: CUDA error``; a line of the log that begins so says more."""
        with contextlib.suppress(Exception):
            where, _colon, text = (message or b"").decode("utf-8", "replace").partition(": ")
            more = next((line for line in reversed(self._errors()) if line.startswith(f"{text}: ")), "")
            self.words = more or f"{where.replace(chr(92), '/').rpartition('/')[2]}: {text}"
