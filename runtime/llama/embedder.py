"""The llama.cpp side of embeddings: a context of its own beside the chats', made when the first text comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packer.errors import InputError
from runtime.llama.context import Context, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.engine.embedding import Piece, Pooling, Vector
    from runtime.llama.model import Model

MEAN, CLS, LAST, RANK = 1, 2, 3, 4
POOLINGS: dict[int, Pooling] = {MEAN: "mean", CLS: "cls", LAST: "last"}
NUM_SLOTS = 8
CHAT_INPUT_TOKENS = 2048
BATCH_TOKENS = 512
CHAT_BATCH_TOKENS = 128
"""llama.cpp keeps the logits of every token of a batch beside its vector: 4 bytes for each word of the vocabulary."""


class LlamaEmbedder:
    """Implements :class:`runtime.engine.embedding.Embedder`.

    Pooling is what the model's maker set, the mean where nothing is set, as in chat models. Models that look both ways
    need a whole input in one batch.
    """

    def __init__(self, model: Model, *, context_tokens: int, num_threads: int) -> None:
        """Prepare; inputs are limited to ``context_tokens``, in chat models to 2,048.

        Raises InputError for a model that ranks texts.
        """
        if model.pooling == RANK:
            raise InputError("this model ranks texts (reranker); it gives no embeddings")
        pooling = model.pooling if model.pooling in POOLINGS else MEAN
        self._model = model
        self._num_threads = num_threads
        self._pooling_type = pooling
        self._context: Context | None = None
        self.pooling = POOLINGS[pooling]
        self.num_dimensions = model.num_dimensions
        self.can_split = model.is_causal
        self.max_input_tokens = min(context_tokens, CHAT_INPUT_TOKENS) if model.can_generate else context_tokens
        wanted = CHAT_BATCH_TOKENS if model.can_generate else BATCH_TOKENS
        self.batch_tokens = min(wanted, self.max_input_tokens) if self.can_split else self.max_input_tokens
        # A recurrent memory takes the sequences of a batch one after the other, so each gets a batch of its own.
        self.num_slots = 1 if model.has_state else NUM_SLOTS

    def open(self) -> Context:
        """Make the context unless it is there. Raises MachineError when memory does not suffice."""
        if self._context is None:
            self._context = Context(
                self._model,
                num_tokens=self.max_input_tokens,
                batch_tokens=self.batch_tokens,
                num_threads=self._num_threads,
                num_sequences=self.num_slots,
                pooling=self._pooling_type,
            )
        return self._context

    def run(self, pieces: Sequence[Piece]) -> list[Vector]:
        """Run the pieces as one batch."""
        context = self.open()
        context.decode(
            [
                Row(
                    sequence_id=piece.slot,
                    tokens=list(piece.tokens),
                    position=piece.position,
                    want_logits=True,
                    want_all=True,
                )
                for piece in pieces
            ]
        )
        return [context.embedding(piece.slot) for piece in pieces]

    def forget(self, slot: int) -> None:
        """Clear a slot's cells."""
        if self._context is not None:
            self._context.truncate(slot, 0)

    def interrupt(self) -> None:
        """Stop a running batch."""
        if self._context is not None:
            self._context.interrupt()

    def clear_interrupt(self) -> None:
        """Allow batches."""
        if self._context is not None:
            self._context.clear_interrupt()

    def close(self) -> None:
        """Free the context."""
        if self._context is not None:
            self._context.close()
            self._context = None
