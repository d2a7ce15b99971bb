"""An embedder without a model: the vector of a piece is the mean, the first or the last of its tokens' numbers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from runtime.llama.errors import DecodeError, DecodeInterruptedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.engine.embedding import Piece, Pooling, Vector

CURSED_TOKEN = 13


class ScriptedEmbedder:
    """Keeps the books of its slots and refuses what a real context refuses. ``gate`` holds batches back."""

    def __init__(
        self,
        *,
        pooling: Pooling = "mean",
        batch_tokens: int = 8,
        max_input_tokens: int = 20,
        num_slots: int = 3,
        can_split: bool = True,
    ) -> None:
        self.pooling: Pooling = pooling
        self.num_dimensions = 2
        self.batch_tokens = batch_tokens
        self.max_input_tokens = max_input_tokens
        self.num_slots = num_slots
        self.can_split = can_split
        self.batches: list[list[Piece]] = []
        self.held: dict[int, int] = {}
        self.gate: threading.Semaphore | None = None
        self.interrupted = threading.Event()
        self.on_run: Callable[[], None] = lambda: None

    def run(self, pieces: Sequence[Piece]) -> list[Vector]:
        self.on_run()
        assert 0 < sum(len(piece.tokens) for piece in pieces) <= self.batch_tokens
        assert len({piece.slot for piece in pieces}) == len(pieces) <= self.num_slots
        self.batches.append(list(pieces))
        for piece in pieces:
            assert piece.position == self.held.get(piece.slot, 0), "a piece is not where the last one ended"
            self.held[piece.slot] = piece.position + len(piece.tokens)
        while self.gate is not None and not self.gate.acquire(timeout=0.01):
            if self.interrupted.is_set():
                raise DecodeInterruptedError("interrupted")
        if any(CURSED_TOKEN in piece.tokens for piece in pieces):
            raise DecodeError("the batch is invalid")
        return [self._vector(piece) for piece in pieces]

    def _vector(self, piece: Piece) -> Vector:
        number = {"mean": sum(piece.tokens) / len(piece.tokens), "cls": piece.tokens[0], "last": piece.tokens[-1]}
        return [float(number[self.pooling]), 1.0]

    def forget(self, slot: int) -> None:
        self.held.pop(slot, None)

    def interrupt(self) -> None:
        self.interrupted.set()

    def clear_interrupt(self) -> None:
        self.interrupted.clear()
