"""Starts this program again in its own place, after something that the process can't survive.

On Linux it executes itself anew and keeps its process number, its terminal and what it prints to. Windows can't replace
a process: there it tells its launcher, through a pipe that the launcher gave it, and ends; the launcher starts it once
more (``packer/launcher/execute_windows.c``). Either way the new one finds a :class:`Restart` in its environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

RESTART_VARIABLE = "PACKER_RESTART"
"""Of a program that was started again: a :class:`Restart` as JSON."""
PIPE_VARIABLE = "PACKER_RESTART_PIPE"
"""Of a program for Windows: the handle of the launcher's pipe, as a number."""
MAX_TROUBLE_CHARACTERS = 500
LIMIT_S = 30
"""A process that was hit badly may hang on its way: then it ends, as it would have without trying."""


@dataclass(frozen=True, kw_only=True)
class Restart:
    """What the new program must know: why it is there (``trouble``), and what it takes over.

    ``port`` is the one that the old one listened on, 0 for none; ``page_is_open`` when its page was opened already.
    """

    trouble: str
    port: int = 0
    page_is_open: bool = False


def take_restart(environ: MutableMapping[str, str]) -> Restart | None:
    """Return what the program before this one left behind, once; ``None`` for an ordinary start."""
    text = environ.pop(RESTART_VARIABLE, None)
    if text is None:
        return None
    if sys.platform != "win32":
        signal.alarm(0)
    try:
        value = json.loads(text)
        trouble, port, page_is_open = value["trouble"], value["port"], value["page_is_open"]
    except (ValueError, TypeError, KeyError):
        return None
    if type(trouble) is not str or type(port) is not int or not 0 <= port < 1 << 16:
        return None
    return Restart(trouble=trouble[:MAX_TROUBLE_CHARACTERS], port=port, page_is_open=bool(page_is_open))


@dataclass(frozen=True, kw_only=True)
class Restarter:
    """Starts the program again by ``command``; made while all is well, so that little is left to do when it is not."""

    command: Sequence[str]
    environ: Mapping[str, str]

    def start_again(self, restart: Restart) -> None:
        """Put a new program in the place of this one. Returns only when that can't be done.

        May be called by any thread, also by one that was interrupted by a signal in the middle of something.
        """
        text = json.dumps(asdict(restart))
        if sys.platform == "win32":
            self._tell_launcher(text)
            return
        signal.alarm(LIMIT_S)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        reset = {"PYINSTALLER_RESET_ENVIRONMENT": "1"}
        with contextlib.suppress(OSError):
            os.execve(self.command[0], [*self.command], {**self.environ, **reset, RESTART_VARIABLE: text})
        signal.alarm(0)

    def _tell_launcher(self, text: str) -> None:
        """Leave word with the launcher and end; do nothing where there is none that listens."""
        if sys.platform == "win32" and PIPE_VARIABLE in self.environ:
            import msvcrt

            with contextlib.suppress(OSError, ValueError):
                pipe = msvcrt.open_osfhandle(int(self.environ[PIPE_VARIABLE]), os.O_BINARY)
                os.write(pipe, text.encode("ascii"))
                os._exit(0)
