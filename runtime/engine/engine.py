"""The engine: one thread that owns the model and works on many requests together, step by step.

Requests wait in a bounded queue and are let in, in order of arrival, as soon as there is a slot and room for prompt and
reply; :class:`Worker` does the steps. Requests join and leave between any two of them.

It does not know where the model comes from (a ``load`` callable makes the runner, in the engine's thread, so that a
server can answer meanwhile) nor what becomes of the text.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from packer.errors import PackerError
from runtime.engine.context_shift import can_shift, shortened
from runtime.engine.embedding import EmbeddingHandle, EmbeddingJob, EmbeddingWorker
from runtime.engine.endings import discard, finished
from runtime.engine.errors import (
    EmbeddingOnlyError,
    EngineStoppedError,
    GenerationFailedError,
    InputTooLongError,
    ModelUnavailableError,
    NoEmbeddingsError,
    PromptTooLongError,
    QueueFullError,
    ReplyTooLongError,
)
from runtime.engine.sequence import Failed, RequestHandle
from runtime.engine.sequence import Sequence as ChatSequence
from runtime.engine.worker import Worker

if TYPE_CHECKING:
    from runtime.engine.adapters import Adapter
    from runtime.engine.model_runner import ModelRunner
    from runtime.engine.sequence import GenerationRequest

_LOG = logging.getLogger(__name__)

MAX_WAITING = 256
IDLE_CHECK_S = 10.0
TIDY_AFTER_S = 0.2
LARGEST_BATCH = 1 << 20

Progress = Callable[[float], bool]
EngineState = Literal["loading", "ready", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class EngineStatus:
    """Where the engine stands; ``progress`` is 0.0 to 1.0 while loading, ``error`` set when loading failed."""

    state: EngineState
    progress: float
    error: Exception | None


@dataclass(frozen=True, kw_only=True)
class EngineLoad:
    """How busy the engine is: requests in work and waiting, and cells of the KV cache in use, idle chats included.

    ``num_prompt_tokens_run`` is a total since the start: tokens of prompts that the model has read.
    """

    num_running: int
    num_waiting: int
    num_cells_used: int
    num_cells: int
    num_prompt_tokens_run: int = 0


def fitted(request: GenerationRequest, context_tokens: int, *, shifts: bool) -> GenerationRequest:
    """Return a request that fits into the context; where that ``shifts``, without the oldest part of its prompt.

    Raises PromptTooLongError or ReplyTooLongError.
    """
    num_prompt = len(request.prompt_tokens)
    keeps = "pictures" if request.pictures else ""
    if not keeps and not can_shift(request.num_keep, context_tokens):
        keeps = f"system prompt of {request.num_keep} tokens"
    if shifts and not keeps:
        return replace(request, prompt_tokens=shortened(request.prompt_tokens, request.num_keep, context_tokens))
    if num_prompt >= context_tokens:
        raise PromptTooLongError(num_prompt, context_tokens, keeps=keeps if shifts else "")
    if request.must_fit and request.max_tokens is not None and num_prompt + request.max_tokens > context_tokens:
        raise ReplyTooLongError(num_prompt, request.max_tokens, context_tokens)
    return request


class Engine:
    """Loads a model and serves generation requests from a bounded queue."""

    def __init__(
        self,
        load: Callable[[Progress], ModelRunner],
        *,
        max_waiting: int = MAX_WAITING,
        on_first_token: Callable[[], None] = lambda: None,
        on_failure: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        """Prepare; nothing happens before :meth:`start`. ``load`` reports progress and stops when told ``False``.

        ``on_first_token`` is called once, ``on_failure`` with an error that nobody foresaw, by the engine's thread.
        """
        self._load = load
        self._on_first_token = on_first_token
        self._on_failure = on_failure
        self._max_waiting = max_waiting
        self._condition = threading.Condition()
        self._waiting: deque[ChatSequence] = deque()
        self._order = itertools.count()
        self._runner: ModelRunner | None = None
        self._worker: Worker | None = None
        self._jobs: list[EmbeddingJob] = []
        self._embedding: EmbeddingWorker | None = None
        self._status = EngineStatus(state="loading", progress=0.0, error=None)
        self._stopping = False
        self._is_warming_up = False
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread, which loads the model first."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Fail what is in progress, free the model and end the thread; ``False`` if that took too long."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
            runner = self._runner
        if runner is not None:
            runner.interrupt()
            if runner.embedder is not None:
                runner.embedder.interrupt()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def status(self) -> EngineStatus:
        """The current state; a snapshot."""
        with self._condition:
            return self._status

    def wait_loaded(self, timeout_s: float) -> EngineStatus:
        """Wait until loading has ended, well or not, at most ``timeout_s``; return the status."""
        with self._condition:
            self._condition.wait_for(lambda: self._status.state != "loading", timeout_s)
            return self._status

    @property
    def context_tokens(self) -> int:
        """Size of the context of the loaded model. Raises EngineStoppedError when there is none."""
        return self._loaded_runner().context_tokens

    def current_load(self) -> EngineLoad:
        """Return how busy the engine is; a snapshot, all zero without a model."""
        with self._condition:
            worker, num_waiting = self._worker, len(self._waiting)
        if worker is None:
            return EngineLoad(num_running=0, num_waiting=num_waiting, num_cells_used=0, num_cells=0)
        return EngineLoad(
            num_running=len(worker.running),
            num_waiting=num_waiting,
            num_cells_used=worker.cache.num_cells - worker.cache.num_free_cells,
            num_cells=worker.cache.num_cells,
            num_prompt_tokens_run=worker.num_prompt_tokens_run,
        )

    def submit(self, request: GenerationRequest) -> RequestHandle:
        """Queue a request.

        Raises PromptTooLongError, ReplyTooLongError, QueueFullError or what :meth:`require_loaded` raises.
        """
        runner = self._loaded_runner()
        if not runner.can_generate:
            raise EmbeddingOnlyError
        if not request.prompt_tokens:
            raise GenerationFailedError("an empty prompt can't be continued; give at least one word")
        request = fitted(request, runner.context_tokens, shifts=runner.can_shift)
        handle = RequestHandle(self._wake)
        with self._condition:
            if self._stopping:
                raise EngineStoppedError("the program is shutting down")
            self._check_room()
            self._waiting.append(ChatSequence.from_request(request, handle, next(self._order)))
            if self._is_warming_up:
                runner.interrupt()
            self._condition.notify_all()
        return handle

    def _check_room(self) -> None:
        """Raise QueueFullError when as many wait as may, for replies and embeddings together: each holds a thread."""
        num_waiting = len(self._waiting) + len(self._jobs) + (len(self._embedding.jobs) if self._embedding else 0)
        if num_waiting >= self._max_waiting:
            raise QueueFullError(f"{num_waiting} requests wait already; try again in a few seconds")

    def embed(self, inputs: Sequence[Sequence[int]]) -> EmbeddingHandle:
        """Queue texts, as tokens, to be turned into vectors.

        Raises NoEmbeddingsError, InputTooLongError, QueueFullError or what :meth:`require_loaded` raises.
        """
        embedder = self._loaded_runner().embedder
        if embedder is None:
            raise NoEmbeddingsError("this model gives no embeddings")
        for index, tokens in enumerate(inputs):
            if len(tokens) > embedder.max_input_tokens:
                raise InputTooLongError(index, len(tokens), embedder.max_input_tokens)
        handle = EmbeddingHandle(self._wake)
        with self._condition:
            if self._stopping:
                raise EngineStoppedError("the program is shutting down")
            self._check_room()
            self._jobs.append(EmbeddingJob(inputs=tuple(map(tuple, inputs)), handle=handle))
            self._condition.notify_all()
        return handle

    @property
    def num_dimensions(self) -> int:
        """Length of the loaded model's embeddings. Raises NoEmbeddingsError or what :meth:`require_loaded` raises."""
        embedder = self._loaded_runner().embedder
        if embedder is None:
            raise NoEmbeddingsError("this model gives no embeddings")
        return embedder.num_dimensions

    @property
    def adapters(self) -> Sequence[Adapter]:
        """The LoRA adapters of the loaded model. Raises what :meth:`require_loaded` raises."""
        return self._loaded_runner().adapters

    def require_loaded(self) -> None:
        """Raise ModelUnavailableError or EngineStoppedError unless requests can be submitted."""
        self._loaded_runner()

    def _loaded_runner(self) -> ModelRunner:
        with self._condition:
            if self._status.error is not None:
                raise ModelUnavailableError(str(self._status.error)) from self._status.error
            if self._runner is None or self._stopping:
                raise EngineStoppedError("the program is shutting down" if self._stopping else "no model is loaded")
            return self._runner

    def _wake(self) -> None:
        """React to a cancelled handle: a batch that works only for cancelled requests is cut short."""
        worker, runner = self._worker, self._runner
        in_flight = worker.in_flight if worker is not None else ()
        if in_flight and runner is not None and all(one.handle.cancelled for one in in_flight):
            runner.interrupt()
        embedding = self._embedding
        job = embedding.in_flight if embedding is not None else None
        if job is not None and job.handle.cancelled and runner is not None and runner.embedder is not None:
            runner.embedder.interrupt()

    # --- the engine's own thread -------------------------------------------------------------------------------

    def _main(self) -> None:
        runner = self._load_runner()
        if runner is None:
            return
        worker = self._worker = Worker(runner, clock=time.perf_counter, is_stopping=lambda: self._stopping)
        if runner.embedder is not None:
            self._embedding = EmbeddingWorker(runner.embedder)
        self._set_status("ready", None)
        self._warm_up(worker, runner)
        try:
            while self._admit(worker):
                had_answered = worker.has_answered
                worker.step()
                if worker.has_answered and not had_answered:
                    self._on_first_token()
                self._take_back(worker)
                self._embed(worker)
        except Exception as error:  # thread boundary: nobody above could see it
            self._on_failure(error)
            _LOG.exception("the engine stopped unexpectedly")
            self._set_status("failed", error)
        finally:
            self._drain(worker, EngineStoppedError("the program is shutting down"))
            with self._condition:
                self._runner = self._worker = self._embedding = None
            runner.close()

    def _load_runner(self) -> ModelRunner | None:
        try:
            runner = self._load(self._report_progress)
        except Exception as error:  # thread boundary: kept for whoever asks
            if not isinstance(error, PackerError):
                self._on_failure(error)
                _LOG.exception("loading the model failed unexpectedly")
            self._set_status("stopped" if self._stopping else "failed", error)
            return None
        with self._condition:
            self._runner = runner
        return runner

    def _warm_up(self, worker: Worker, runner: ModelRunner) -> None:
        """Warm up while nobody waits; who comes meanwhile ends it."""
        with self._condition:
            self._is_warming_up = not (self._waiting or self._jobs or self._stopping)
        if self._is_warming_up:
            worker.warm_up()
        with self._condition:
            self._is_warming_up = False
        runner.clear_interrupt()

    def _report_progress(self, progress: float) -> bool:
        with self._condition:
            if self._status.state == "loading":
                self._status = EngineStatus(state="loading", progress=progress, error=None)
            return not self._stopping

    def _set_status(self, state: EngineState, error: Exception | None) -> None:
        with self._condition:
            self._status = EngineStatus(state=state, progress=1.0 if state == "ready" else 0.0, error=error)
            self._condition.notify_all()

    def _admit(self, worker: Worker) -> bool:
        """Wait for work and let in what can be let in, in order; ``False`` when the engine is to end."""
        with self._condition:
            is_idle = not self._condition.wait_for(
                lambda: self._stopping or worker.running or self._waiting or self._has_jobs(),
                TIDY_AFTER_S if worker.is_untidy else IDLE_CHECK_S,
            )
            if self._stopping:
                return False
            if self._embedding is not None:
                self._embedding.jobs.extend(self._jobs)
                self._jobs.clear()
            gone = [sequence for sequence in self._waiting if sequence.handle.cancelled]
            for sequence in gone:
                self._waiting.remove(sequence)
            while self._waiting and worker.can_admit(self._waiting[0]):
                worker.admit(self._waiting.popleft())
        for sequence in gone:
            discard(sequence, finished(sequence, "cancelled"))
        if is_idle and not worker.shrink_when_short():
            worker.tidy()
        return True

    def _has_jobs(self) -> bool:
        return bool(self._jobs) or (self._embedding is not None and bool(self._embedding.jobs))

    def _embed(self, worker: Worker) -> None:
        """Run one batch of embeddings; while chats run, one that makes them pause no longer than a prompt may."""
        if self._embedding is not None and self._embedding.jobs:
            num_running = len(worker.running)
            budget = worker.costs.step_tokens(num_running) if num_running else LARGEST_BATCH
            self._embedding.step(budget, is_stopping=lambda: self._stopping)

    def _take_back(self, worker: Worker) -> None:
        """Put sequences that had to give way first in the queue again."""
        preempted = worker.take_preempted()
        if preempted:
            with self._condition:
                self._waiting.extendleft(reversed(preempted))

    def _drain(self, worker: Worker, error: Exception) -> None:
        """Fail everything that is running or waiting."""
        with self._condition:
            self._stopping = True
            waiting, self._waiting = list(self._waiting), deque()
            jobs, self._jobs = self._jobs, []
        worker.fail_all(error)
        if self._embedding is not None:
            self._embedding.fail_all(error)
        for job in jobs:
            job.handle.put(error)
        for sequence in waiting:
            discard(sequence, Failed(error=error))
