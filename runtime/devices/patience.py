"""How long all questions to drivers may take together, however many backends and devices there are."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

WHOLE_S = 9.5
LEAST_S = 0.5
"""With less than this left a driver is not asked: it could not answer."""


@dataclass(kw_only=True)
class Patience:
    """Counts down from ``whole_s`` seconds, starting with the first question."""

    whole_s: float = WHOLE_S
    _until_s: float | None = field(default=None, init=False)

    def share(self, limit_s: float) -> float:
        """Return what a question may take that is to take ``limit_s`` at most; 0 when there is no time left."""
        now_s = time.monotonic()
        if self._until_s is None:
            self._until_s = now_s + self.whole_s
        left_s = min(limit_s, self._until_s - now_s)
        return left_s if left_s >= LEAST_S else 0.0
