"""Turns the bytes of generated tokens into text, never cutting a character and never showing a stop string.

A token may end in the middle of a UTF-8 character and a stop string may span several tokens, so both are held back
until it is clear what they are.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class TextStream:
    """Incremental decoder with stop strings. ``stopped_by`` is the stop string that has appeared, if any has.

    ``num_decoded`` counts the characters of all tokens so far, ``num_shown`` those that were returned.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        """Watch for the strings in ``stop``; the first one to be complete ends the text."""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped_by: str | None = None
        self.num_decoded = 0
        self.num_shown = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop string has appeared."""
        return self.stopped_by is not None

    def push(self, piece: bytes) -> str:
        """Add the bytes of one token and return the text that is certain by now, maybe none."""
        if self.stopped:
            return ""
        text = self._decoder.decode(piece)
        self._held += text
        self.num_decoded += len(text)
        found = [(at + len(stop), at, stop) for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            _end, start, self.stopped_by = min(found)
            return self._show(start, rest="")
        end = len(self._held) - self._ambiguous_length()
        return self._show(end, rest=self._held[end:])

    def finish(self) -> str:
        """Return what was held back; an incomplete character at the very end is dropped."""
        return "" if self.stopped else self._show(len(self._held), rest="")

    def _show(self, num_characters: int, *, rest: str) -> str:
        """Return the first characters of what is held and keep only ``rest``."""
        certain, self._held = self._held[:num_characters], rest
        self.num_shown += len(certain)
        return certain

    def _ambiguous_length(self) -> int:
        """Length of the longest end of the held text that may be the beginning of a stop string."""
        longest = 0
        for text in self._stop:
            for length in range(min(len(text) - 1, len(self._held)), longest, -1):
                if self._held.endswith(text[:length]):
                    longest = length
                    break
        return longest
