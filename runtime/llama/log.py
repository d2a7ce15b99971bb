"""Catches what llama.cpp and ggml log, so that the terminal stays clean and a failure can still be explained.

Warnings and errors are kept (the last few dozen lines); all but ggml's own debug lines goes to :mod:`logging`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger(__name__)

LEVEL_DEBUG = 1
LEVEL_INFO = 2
LEVEL_WARN = 3
LEVEL_ERROR = 4
LEVEL_CONT = 5
MAX_LINES = 60


class LogCollector:
    """Receives log pieces from any thread and joins them to lines (ggml.h, ``ggml_log_level``)."""

    def __init__(self) -> None:
        """Start with no lines. A ``listener`` is handed every line, debug lines too."""
        self._lock = threading.Lock()
        self._lines: deque[tuple[int, str]] = deque(maxlen=MAX_LINES)
        self._partial = ""
        self._level = LEVEL_INFO
        self.listener: Callable[[str], None] | None = None

    def receive(self, level: int, text: bytes | None) -> None:
        """Take one piece of log text; it need not end a line."""
        with self._lock:
            if level != LEVEL_CONT:
                self._level = level
            self._partial += (text or b"").decode("utf-8", "replace")
            *lines, self._partial = self._partial.split("\n")
            for line in lines:
                self._keep(line.strip())

    def _keep(self, line: str) -> None:
        if line and self.listener is not None:
            self.listener(line)
        if not line or self._level == LEVEL_DEBUG:
            return
        _LOG.debug("%s", line)
        if self._level in {LEVEL_WARN, LEVEL_ERROR}:
            self._lines.append((self._level, line))

    def clear(self) -> None:
        """Forget the lines kept so far; call before an operation that may fail."""
        with self._lock:
            self._lines.clear()

    def errors(self) -> list[str]:
        """Return the error lines kept since :meth:`clear`, oldest first."""
        with self._lock:
            return [line for level, line in self._lines if level == LEVEL_ERROR]

    def explain(self) -> str:
        """Return the most telling error line as ``" (llama.cpp says: ...)"``, or an empty string."""
        errors = self.errors()
        return f" (llama.cpp says: {errors[0]})" if errors else ""
