"""Log probabilities of generated tokens, as the engine hands them out. Pure values; ``runtime.llama`` computes them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability."""

    token: int
    logprob: float


@dataclass(frozen=True, kw_only=True)
class TokenLogprobs:
    """A generated token, the likeliest tokens of its place (best first), and where its text begins in the reply.

    ``text_offset`` counts characters. A token that only begins a character has the place of that character.
    """

    chosen: TokenLogprob
    top: tuple[TokenLogprob, ...]
    text_offset: int = 0


class LogprobQueue:
    """Holds the log probabilities of tokens back until text of theirs is shown, so that both arrive together.

    Tokens whose text never appears, because a stop string swallows it, are never handed out.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._held: deque[TokenLogprobs] = deque()

    def push(self, logprobs: TokenLogprobs, text_offset: int) -> None:
        """Add a token whose text begins at character ``text_offset``."""
        self._held.append(replace(logprobs, text_offset=text_offset))

    def take(self, num_shown: int) -> tuple[TokenLogprobs, ...]:
        """Hand out the tokens of which text is among the first ``num_shown`` characters of the reply."""
        taken = []
        while self._held and self._held[0].text_offset < num_shown:
            taken.append(self._held.popleft())
        return tuple(taken)

    def take_all(self) -> tuple[TokenLogprobs, ...]:
        """Hand out what is left, such as tokens without text at the very end."""
        taken = tuple(self._held)
        self._held.clear()
        return taken
