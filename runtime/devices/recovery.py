"""Keeps a driver that crashes or hangs inside this process from being the end of it: the program starts again.

A child process has asked the driver before, but what comes then can only be done here. From the moment that a driver is
loaded until the program ends, a crash has it start anew, on the CPU, with one line that says why; so does a driver that
never returns while the model is loaded. What happened is remembered like any trouble with a driver.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from packer.errors import MachineError
from runtime.devices.crash_signals import AbortWords, CrashSignals
from runtime.devices.memory import ResultMemory, key_of
from runtime.devices.stall import STALL_S, StallWatch
from runtime.restart import MAX_TROUBLE_CHARACTERS, Restart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime.devices.device import Device
    from runtime.llama.library import Library
    from runtime.restart import Restarter

_LOG = logging.getLogger(__name__)

MAX_CAUSE_CHARACTERS = 160


class _Stage(enum.Enum):
    """What the devices are doing; ``IDLE`` before and after there are any."""

    IDLE = ""
    LOADING = "while the model was loaded"
    IN_USE = "while it was in use"
    ENDING = "while the program ended"


class Recovery:
    """Watches over the use of devices in this process; without a ``restarter`` it lets things happen.

    ``port`` and ``page_is_open`` are handed on to the program that is started again. ``may_restart`` is false once
    starting again would do something twice: then the program says what happened and ends.
    """

    def __init__(self, *, restarter: Restarter | None, memory: ResultMemory) -> None:
        """Watch nothing yet."""
        self._restarter = restarter
        self._memory = memory
        self._stage = _Stage.IDLE
        self._names = self._key = ""
        self._ears: list[Any] = []
        self._words: AbortWords | None = None
        self._once = threading.Lock()
        self.port = 0
        self.page_is_open = False
        self.may_restart = True

    @contextlib.contextmanager
    def loading(self, library: Library, devices: Sequence[Device]) -> Iterator[None]:
        """Surround what loads ``devices`` or puts a model on them. Crashes are heard of from then on."""
        if self._restarter is None:
            yield
            return
        self._names, self._key = " + ".join(map(str, devices)), crash_key(devices)
        self._stage = _Stage.LOADING
        self._listen(library)
        with StallWatch(self._on_stall):
            yield

    def in_use(self) -> None:
        """Say that the model is on the devices."""
        if self._stage is _Stage.LOADING:
            self._stage = _Stage.IN_USE

    def not_in_use(self) -> None:
        """Say that it is the CPU after all that computes."""
        self._stage = _Stage.IDLE
        for ear in self._ears:
            ear.remove()
        self._ears.clear()

    def ending(self) -> None:
        """Say that all is done and the program ends: a driver that crashes from now on has nothing to spoil."""
        if self._stage is _Stage.IN_USE:
            self._stage = _Stage.ENDING

    def ended(self) -> None:
        """Say that the model is gone; a run that came to its end so is forgiven earlier crashes."""
        if self._stage is _Stage.ENDING:
            self._memory.forget(self._key)
        self.not_in_use()

    def consider(self, error: Exception) -> None:
        """Start again when ``error`` is what became of a crash on Windows; do nothing otherwise."""
        if sys.platform == "win32":
            from runtime.windows.crashes import crash_in

            if self._stage is not _Stage.IDLE and (cause := crash_in(error)):
                self._on_crash(cause)

    def _listen(self, library: Library) -> None:
        if self._ears:
            return
        self._words = AbortWords(library.base, library.log.errors)
        self._ears = [self._words, CrashSignals(library.libc, self._on_crash)]
        if sys.platform == "win32":
            from runtime.windows.crashes import ExceptionFilter

            self._ears.append(ExceptionFilter(self._on_crash))
        for ear in self._ears:
            ear.install()

    def _on_stall(self) -> None:
        self._leave(f"did not answer for {STALL_S:g} s")

    def _on_crash(self, cause: str) -> None:
        words = (self._words.words if self._words else "") or cause
        words = " ".join(words.replace(";", ",").split())
        self._leave(f"crashed ({words[:MAX_CAUSE_CHARACTERS]})")

    def _leave(self, what: str) -> None:
        """Go away from the devices: start again, or say why that is not done and end. The first thread that asks wins.

        Returns only when the program can't be started again.
        """
        with self._once:
            self._leave_once(what)

    def _leave_once(self, what: str) -> None:
        if self._stage is _Stage.ENDING:
            os._exit(0)
        trouble = f"{self._names}: the driver {what} {self._stage.value}"[:MAX_TROUBLE_CHARACTERS]
        self._memory.remember_trouble(self._key, {"problem": trouble})
        if self._restarter is None:
            return
        if not self.may_restart:
            _print(f"error: {trouble}; --gpu off computes on the CPU")
            os._exit(MachineError.exit_code)
        _print(f"{trouble}; starting again, on the CPU")
        self._restarter.start_again(Restart(trouble=trouble, port=self.port, page_is_open=self.page_is_open))


def unguarded() -> Recovery:
    """One that watches over nothing."""
    return Recovery(restarter=None, memory=ResultMemory(directory=None))


def crash_key(devices: Sequence[Device]) -> str:
    """Under what crashes of ``devices`` are remembered."""
    return key_of("crash", [[device.backend, device.description, device.driver] for device in devices])


def _print(line: str) -> None:
    """Print to standard error past its buffer, which a thread that is gone may hold."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.write(sys.stderr.fileno(), f"{line}\n".encode())
