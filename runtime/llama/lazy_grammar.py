"""When a grammar that waits for a trigger, such as the beginning of a tool call, begins to hold.

llama.cpp's own lazy grammars end the process when the first token after a trigger does not fit, and know nothing of
reasoning; so the waiting is done here and the grammar starts once it is over. What is searched are the bytes of the
reply, control tokens by their names, outside of reasoning (``common/sampling.cpp``, ``common_sampler_accept``).
It does not know llama.cpp.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.engine.sampling import LazyGrammar

WHOLE_TEXT = re.compile(r"\^(.*)\$", re.DOTALL)


class TriggerWatch:
    """Reads a reply token by token until a trigger appears in it."""

    def __init__(self, lazy: LazyGrammar) -> None:
        """Begin in reasoning if the prompt ends in it. Raises ValueError for a pattern that is none."""
        self._patterns = [_compile(pattern) for pattern in lazy.patterns]
        self._start = lazy.reasoning_start.encode()
        self._ends = [end.encode() for end in lazy.reasoning_ends if end] if lazy.reasoning_start else []
        self._is_reasoning = lazy.begins_in_reasoning and bool(self._ends)
        self._reasoning = b""
        self._seen = b""

    def push(self, piece: bytes) -> bytes | None:
        """Add the bytes of a token; return the text that the grammar has to begin with, once there is a trigger."""
        rest: bytes | None = piece
        while rest is not None:
            if self._is_reasoning:
                rest = self._leave_reasoning(rest)
                continue
            self._seen += rest
            rest = None
            trigger = min((at for pattern in self._patterns if (at := _find(pattern, self._seen)) >= 0), default=-1)
            start = self._seen.find(self._start) if self._ends else -1
            if trigger >= 0 and not 0 <= start < trigger:
                return self._seen[trigger:]
            if start >= 0:
                self._is_reasoning = True
                rest = self._seen[start + len(self._start) :]
        return None

    def _leave_reasoning(self, piece: bytes) -> bytes | None:
        """Return the end mark and what follows it, ``None`` while the reasoning goes on."""
        self._reasoning += piece
        ends = [at for end in self._ends if (at := self._reasoning.find(end)) >= 0]
        if not ends:
            self._reasoning = self._reasoning[-max(map(len, self._ends)) :]
            return None
        rest, self._reasoning, self._seen = self._reasoning[min(ends) :], b"", b""
        self._is_reasoning = False
        return rest


def _compile(pattern: str) -> re.Pattern[bytes]:
    """Translate llama.cpp's notation: ``^...$`` means the whole text, in which ``$`` allows no further newline."""
    whole = WHOLE_TEXT.fullmatch(pattern)
    try:
        return re.compile((rf"\A(?:{whole[1]})\Z" if whole else pattern).encode(), re.DOTALL)
    except re.error as error:
        raise ValueError(f"the trigger {pattern!r} is no regular expression: {error}") from error


def _find(pattern: re.Pattern[bytes], text: bytes) -> int:
    """Return where the first group that caught something begins, else the match; -1 for no match."""
    match = pattern.search(text)
    if match is None:
        return -1
    return next((match.start(index) for index in range(1, pattern.groups + 1) if match.group(index)), match.start())
