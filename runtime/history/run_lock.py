"""Tells whether this process is the only one that uses a directory of chats, for as long as it runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "in-use"


class RunLock:
    """A lock that the system takes back when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        """Take the lock of ``directory`` unless another process has it; :attr:`is_alone` tells. Raises OSError."""
        self._descriptor = os.open(directory / FILE_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        self.is_alone = _try_lock(self._descriptor)

    def close(self) -> None:
        """Give the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
