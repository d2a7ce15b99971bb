"""Pictures in a prompt: rows for the model that stand where tokens would, and what stands for them in lists of tokens.

A picture's rows have no tokens. In prompts and in the books of the KV cache each row is a negative number made of the
picture's digest, so that equal beginnings are found as with text and different pictures never match. A picture is run
as a whole, in a step of its own. It does not know what a projector is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

INDEX_BITS = 20


class Rows(Protocol):
    """What stands for the embeddings of tokens: ``num_tokens`` rows that take up ``num_positions`` positions.

    There are fewer positions than rows where a position has several dimensions (M-RoPE). With ``is_non_causal`` all
    rows see each other.
    """

    @property
    def num_tokens(self) -> int:
        """Number of rows."""

    @property
    def num_positions(self) -> int:
        """By how much the position grows."""

    @property
    def is_non_causal(self) -> bool:
        """Whether all rows belong into one batch."""


@dataclass(frozen=True, kw_only=True)
class PromptPicture:
    """Rows that begin at token ``start`` of a prompt."""

    start: int
    rows: Rows


def stand_ins(digest: bytes, index: int, count: int) -> list[int]:
    """Return the numbers that stand for ``count`` rows, piece ``index`` of the picture with this digest."""
    key = int.from_bytes(hashlib.sha256(digest + index.to_bytes(4, "little")).digest()[:8], "little")
    return [-1 - (key << INDEX_BITS | row) for row in range(count)]


def whole_pictures(tokens: Sequence[int], length: int) -> int:
    """Return the largest number of tokens up to ``length`` that cuts no picture apart."""
    if length >= len(tokens) or tokens[length] >= 0:
        return length
    return length - (-1 - tokens[length]) % (1 << INDEX_BITS)


class Positions:
    """Where the tokens of cached sequences stand for the model, which differs from their number behind M-RoPE rows."""

    def __init__(self) -> None:
        """Begin without pictures."""
        self._spans: dict[int, list[tuple[int, int]]] = {}

    def add(self, cache_id: int, picture: PromptPicture) -> None:
        """Note that a sequence holds a picture now."""
        self.cut(cache_id, picture.start)
        saved = picture.rows.num_tokens - picture.rows.num_positions
        if saved:
            self._spans.setdefault(cache_id, []).append((picture.start, saved))

    def of(self, cache_id: int, index: int) -> int:
        """Return the position of token ``index`` of a sequence."""
        return index - sum(saved for start, saved in self._spans.get(cache_id, ()) if start < index)

    def cut(self, cache_id: int, num_tokens: int) -> None:
        """Forget what stands behind the first ``num_tokens`` of a sequence."""
        if cache_id in self._spans:
            self._spans[cache_id] = [span for span in self._spans[cache_id] if span[0] < num_tokens]

    def copy(self, source_id: int, target_id: int, num_tokens: int) -> None:
        """Let a sequence begin as another does."""
        self._spans[target_id] = list(self._spans.get(source_id, ()))
        self.cut(target_id, num_tokens)

    def spans(self, cache_id: int) -> tuple[tuple[int, int], ...]:
        """Return what is known of a sequence, for :meth:`put`."""
        return tuple(self._spans.get(cache_id, ()))

    def put(self, cache_id: int, spans: tuple[tuple[int, int], ...]) -> None:
        """Let a sequence have what :meth:`spans` gave."""
        self._spans[cache_id] = list(spans)

    def clear(self) -> None:
        """Forget all sequences."""
        self._spans.clear()
