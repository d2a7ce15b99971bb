"""Embeddings: texts as vectors, computed in bounded batches between the steps of the chats.

Inputs are run in a context of their own, several in a batch. Where the model reads from left to right a long input is
cut into pieces, so that no batch takes longer than a step may. Its vector is pooled over the pieces and has length 1.

It knows neither threads nor the device; the engine calls :meth:`EmbeddingWorker.step` from its own thread.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from packer.errors import PackerError
from runtime.engine.errors import GenerationFailedError
from runtime.llama.errors import DecodeError, DecodeInterruptedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOG = logging.getLogger(__name__)

Pooling = Literal["mean", "cls", "last"]
Vector = list[float]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Tokens of one input, the first at ``position``; ``slot`` tells the inputs of a batch apart."""

    slot: int
    tokens: tuple[int, ...]
    position: int


class Embedder(Protocol):
    """The device side. ``can_split`` tells whether an input may be run in several pieces, one after the other."""

    @property
    def pooling(self) -> Pooling:
        """How the vectors of an input's tokens become one."""

    @property
    def num_dimensions(self) -> int:
        """Length of a vector."""

    @property
    def max_input_tokens(self) -> int:
        """The longest input."""

    @property
    def batch_tokens(self) -> int:
        """The most tokens of one batch; at least ``max_input_tokens`` where inputs can't be split."""

    @property
    def num_slots(self) -> int:
        """The most inputs of one batch."""

    @property
    def can_split(self) -> bool:
        """Whether tokens see only those before them."""

    def run(self, pieces: Sequence[Piece]) -> list[Vector]:
        """Return the pooled vector of each piece. Raises DecodeError, DecodeInterruptedError or MachineError."""

    def forget(self, slot: int) -> None:
        """Make a slot free for the next input."""

    def interrupt(self) -> None:
        """Make a running batch end early; from any thread."""

    def clear_interrupt(self) -> None:
        """Allow batches again."""


class EmbeddingHandle:
    """The owner's side of a job."""

    def __init__(self, on_cancel: Callable[[], None] = lambda: None) -> None:
        """``on_cancel`` wakes the engine; it must not block."""
        self._result: queue.SimpleQueue[list[Vector] | Exception] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._on_cancel = on_cancel

    def put(self, result: list[Vector] | Exception) -> None:
        """Deliver the vectors or the reason why there are none; called by the engine."""
        self._result.put(result)

    def poll(self, timeout_s: float) -> list[Vector] | None:
        """Return the vectors, or ``None`` when they did not come within ``timeout_s``. Raises what made it fail."""
        try:
            result = self._result.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(result, Exception):
            raise result
        return result

    def cancel(self) -> None:
        """Ask the engine to stop working on this job."""
        self._cancelled.set()
        self._on_cancel()

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._cancelled.is_set()


@dataclass(kw_only=True, eq=False)
class EmbeddingJob:
    """Inputs, the vectors of those that are done, and how far the next one is."""

    inputs: tuple[tuple[int, ...], ...]
    handle: EmbeddingHandle
    vectors: list[Vector] = field(default_factory=list)
    position: int = 0
    pooled: Vector = field(default_factory=list)


class EmbeddingWorker:
    """Runs jobs batch by batch, each job in its turn."""

    def __init__(self, embedder: Embedder) -> None:
        """Begin idle."""
        self._embedder = embedder
        self.jobs: deque[EmbeddingJob] = deque()
        self.in_flight: EmbeddingJob | None = None

    def step(self, budget_tokens: int, *, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Run one batch of about ``budget_tokens``; does nothing without jobs."""
        while self.jobs and self.jobs[0].handle.cancelled:
            self._end(self.jobs[0], None)
        if not self.jobs:
            return
        job = self.in_flight = self.jobs[0]
        try:
            self._embedder.clear_interrupt()
            if is_stopping() or job.handle.cancelled:
                return
            pieces = plan_pieces(job, self._embedder, budget_tokens)
            self._accept(job, pieces, self._embedder.run(pieces))
        except DecodeInterruptedError:
            self._restart_input(job)
        except (DecodeError, PackerError) as error:
            _LOG.error("embedding failed: %s", error)
            self._end(job, error if isinstance(error, PackerError) else GenerationFailedError(str(error)))
        finally:
            self.in_flight = None

    def fail_all(self, error: Exception) -> None:
        """End every job, because the engine does."""
        while self.jobs:
            self.jobs.popleft().handle.put(error)

    def _accept(self, job: EmbeddingJob, pieces: Sequence[Piece], vectors: Sequence[Vector]) -> None:
        """Pool the vectors of a batch; whole inputs are done, and the next job has its turn."""
        for piece, vector in zip(pieces, vectors, strict=True):
            job.pooled = pool(self._embedder.pooling, job.pooled, vector, piece)
            job.position = piece.position + len(piece.tokens)
            if job.position == len(job.inputs[len(job.vectors)]):
                self._embedder.forget(piece.slot)
                job.vectors.append(normalized(job.pooled))
                job.pooled, job.position = [], 0
        if len(job.vectors) == len(job.inputs):
            self._end(job, job.vectors)
        elif job.position == 0:
            self.jobs.rotate(-1)

    def _restart_input(self, job: EmbeddingJob) -> None:
        """Forget what the slots hold of a batch that ended early; the input in work begins anew."""
        job.pooled, job.position = [], 0
        for slot in range(self._embedder.num_slots):
            self._embedder.forget(slot)

    def _end(self, job: EmbeddingJob, result: list[Vector] | Exception | None) -> None:
        """Take a job out and tell its owner; no result for one that was cancelled."""
        if not isinstance(result, list):
            self._restart_input(job)
        self.jobs.remove(job)
        if result is not None:
            job.handle.put(result)


def plan_pieces(job: EmbeddingJob, embedder: Embedder, budget_tokens: int) -> list[Piece]:
    """Choose the next pieces of a job: the rest of its next input, cut if need be, then as many whole ones as fit."""
    budget = max(1, min(budget_tokens, embedder.batch_tokens))
    first = job.inputs[len(job.vectors)][job.position :]
    if len(first) > budget and embedder.can_split:
        return [Piece(slot=0, tokens=first[:budget], position=job.position)]
    pieces = [Piece(slot=0, tokens=first, position=job.position)]
    left = budget - len(first)
    for tokens in job.inputs[len(job.vectors) + 1 :]:
        left -= len(tokens)
        if left < 0 or len(pieces) == embedder.num_slots:
            break
        pieces.append(Piece(slot=len(pieces), tokens=tokens, position=0))
    return pieces


def pool(pooling: Pooling, pooled: Vector, vector: Vector, piece: Piece) -> Vector:
    """Join the vector of a piece to that of the pieces before it, which is empty for the first."""
    if pooling == "mean":
        weight = len(piece.tokens)
        return [before + weight * value for before, value in zip(pooled or [0.0] * len(vector), vector, strict=True)]
    return pooled if pooling == "cls" and pooled else vector


def normalized(vector: Vector) -> Vector:
    """Return ``vector`` with the length 1; one of zeros stays as it is."""
    length = math.sqrt(math.fsum(value * value for value in vector))
    return [value / length for value in vector] if length else vector
