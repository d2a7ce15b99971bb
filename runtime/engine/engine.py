"""The engine: one thread that owns the model and works on one sequence at a time, in steps.

A step is schedule → run → postprocess: choose the sequence and its next tokens, run them through the model, sample
and publish. Prompts are read in batches, so cancelling takes effect between two of them; generation checks before
every token. The KV cache of the last sequence is kept and the common beginning of the next prompt is not read again.

It does not know where the model comes from (a ``load`` callable makes the runner, in the engine's thread, so that a
server can answer meanwhile) nor what becomes of the text.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from packer.errors import PackerError
from runtime.engine.errors import (
    EngineStoppedError,
    GenerationFailedError,
    ModelUnavailableError,
    PromptTooLongError,
    QueueFullError,
)
from runtime.engine.sequence import Failed, Finished, RequestHandle, Sequence, TextDelta
from runtime.llama.errors import DecodeError, DecodeInterruptedError

if TYPE_CHECKING:
    from collections.abc import Sequence as Items

    from runtime.engine.model_runner import ModelRunner, TokenSampler
    from runtime.engine.sequence import FinishReason, GenerationRequest

_LOG = logging.getLogger(__name__)

MAX_WAITING = 32

Progress = Callable[[float], bool]
EngineState = Literal["loading", "ready", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class EngineStatus:
    """Where the engine stands; ``progress`` is 0.0 to 1.0 while loading, ``error`` set when loading failed."""

    state: EngineState
    progress: float
    error: Exception | None


def common_prefix_length(left: Items[int], right: Items[int]) -> int:
    """Return how many tokens two sequences share at their beginning."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))


class Engine:
    """Loads a model and serves generation requests from a bounded queue."""

    def __init__(self, load: Callable[[Progress], ModelRunner], *, max_waiting: int = MAX_WAITING) -> None:
        """Prepare; nothing happens before :meth:`start`. ``load`` reports progress and stops when told ``False``."""
        self._load = load
        self._max_waiting = max_waiting
        self._condition = threading.Condition()
        self._waiting: deque[Sequence] = deque()
        self._running: Sequence | None = None
        self._sampler: TokenSampler | None = None
        self._runner: ModelRunner | None = None
        self._cached: list[int] = []
        self._status = EngineStatus(state="loading", progress=0.0, error=None)
        self._stopping = False
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

    def submit(self, request: GenerationRequest) -> RequestHandle:
        """Queue a request. Raises PromptTooLongError, QueueFullError or what :meth:`require_loaded` raises."""
        runner = self._loaded_runner()
        if not request.prompt_tokens:
            raise GenerationFailedError("an empty prompt can't be continued; give at least one word")
        if len(request.prompt_tokens) >= runner.context_tokens:
            raise PromptTooLongError(len(request.prompt_tokens), runner.context_tokens)
        handle = RequestHandle(self._wake)
        with self._condition:
            if self._stopping:
                raise EngineStoppedError("the program is shutting down")
            if len(self._waiting) >= self._max_waiting:
                raise QueueFullError(f"{len(self._waiting)} requests wait already; try again in a few seconds")
            self._waiting.append(Sequence.from_request(request, handle))
            self._condition.notify_all()
        return handle

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
        """React to a cancelled handle: a decode that works for it alone is cut short."""
        running, runner = self._running, self._runner
        if running is not None and running.handle.cancelled and runner is not None:
            runner.interrupt()

    # --- the engine's own thread -------------------------------------------------------------------------------

    def _main(self) -> None:
        runner = self._load_runner()
        if runner is None:
            return
        try:
            while self._step(runner):
                pass
        except Exception as error:  # thread boundary: nobody above could see it
            _LOG.exception("the engine stopped unexpectedly")
            self._set_status("failed", error)
        finally:
            self._drain(EngineStoppedError("the program is shutting down"))
            with self._condition:
                self._runner = None
            runner.close()

    def _load_runner(self) -> ModelRunner | None:
        try:
            runner = self._load(self._report_progress)
        except Exception as error:  # thread boundary: kept for whoever asks
            if not isinstance(error, PackerError):
                _LOG.exception("loading the model failed unexpectedly")
            self._set_status("stopped" if self._stopping else "failed", error)
            return None
        with self._condition:
            self._runner = runner
        self._set_status("ready", None)
        return runner

    def _report_progress(self, progress: float) -> bool:
        with self._condition:
            if self._status.state == "loading":
                self._status = EngineStatus(state="loading", progress=progress, error=None)
            return not self._stopping

    def _set_status(self, state: EngineState, error: Exception | None) -> None:
        with self._condition:
            self._status = EngineStatus(state=state, progress=1.0 if state == "ready" else 0.0, error=error)
            self._condition.notify_all()

    def _step(self, runner: ModelRunner) -> bool:
        """Do one step; ``False`` when the engine is to end."""
        sequence = self._schedule()
        if sequence is None:
            return False
        runner.clear_interrupt()
        if self._stopping:
            return False
        if sequence.handle.cancelled:
            self._finish(sequence, "cancelled")
            return True
        try:
            token = self._run(runner, sequence)
        except DecodeInterruptedError:
            self._rewind(runner, sequence)
        except DecodeError as error:
            _LOG.error("generation failed: %s", error)
            self._rewind(runner, sequence)
            self._end(sequence, Failed(error=GenerationFailedError(str(error))))
        else:
            if token is not None:
                self._accept(runner, sequence, token)
        return True

    def _schedule(self) -> Sequence | None:
        """Return the running sequence, or wait for the next one; ``None`` when stopping."""
        with self._condition:
            self._condition.wait_for(lambda: self._stopping or self._running or self._waiting)
            if self._stopping:
                return None
            if self._running is None:
                self._running = self._waiting.popleft()
            return self._running

    def _run(self, runner: ModelRunner, sequence: Sequence) -> int | None:
        """Run the next tokens of ``sequence``; return a new token once the prompt is read."""
        if not sequence.started:
            self._begin(runner, sequence)
        chunk = sequence.next_chunk(runner.batch_tokens)
        is_last = sequence.num_computed + len(chunk) == len(sequence.tokens)
        runner.decode(chunk, sequence.num_computed, want_logits=is_last)
        sequence.num_computed += len(chunk)
        self._cached.extend(chunk)
        return self._sampler.sample() if is_last and self._sampler is not None else None

    def _begin(self, runner: ModelRunner, sequence: Sequence) -> None:
        """Keep the part of the KV cache that the new prompt shares; its last token is always read anew."""
        shared = min(common_prefix_length(self._cached, sequence.tokens), len(sequence.tokens) - 1)
        self._truncate(runner, shared)
        sequence.num_computed = sequence.num_reused = len(self._cached)
        self._sampler = runner.start_sampler(sequence.request.sampling, sequence.request.prompt_tokens)
        sequence.started = True

    def _truncate(self, runner: ModelRunner, num_tokens: int) -> None:
        kept = runner.truncate(num_tokens)
        self._cached = self._cached[:num_tokens] if kept else []

    def _rewind(self, runner: ModelRunner, sequence: Sequence) -> None:
        """Bring cache and books in line again after a decode that ended early."""
        self._truncate(runner, sequence.num_computed)
        sequence.num_computed = len(self._cached)

    def _accept(self, runner: ModelRunner, sequence: Sequence, token: int) -> None:
        """Publish a new token and end the sequence where it ends."""
        if runner.is_end(token):
            self._finish(sequence, "stop")
            return
        sequence.tokens.append(token)
        self._publish(sequence, sequence.text.push(runner.piece(token)))
        limit = sequence.request.max_tokens
        if sequence.text.stopped:
            self._finish(sequence, "stop")
        elif (limit is not None and len(sequence.generated) >= limit) or len(sequence.tokens) >= runner.context_tokens:
            self._finish(sequence, "length")

    def _publish(self, sequence: Sequence, text: str) -> None:
        if text:
            sequence.handle.put(TextDelta(text=text))

    def _finish(self, sequence: Sequence, reason: FinishReason) -> None:
        if reason != "cancelled":
            self._publish(sequence, sequence.text.finish())
        self._end(sequence, Finished(reason=reason, usage=sequence.usage(), token_ids=tuple(sequence.generated)))

    def _end(self, sequence: Sequence, event: Finished | Failed) -> None:
        """Free the slot, then tell the owner, who may submit the next request at once."""
        if self._sampler is not None:
            self._sampler.close()
            self._sampler = None
        with self._condition:
            self._running = None
        sequence.handle.put(event)

    def _drain(self, error: Exception) -> None:
        """Fail everything that is running or waiting."""
        with self._condition:
            self._stopping = True
            waiting, self._waiting = list(self._waiting), deque()
            running = self._running
        if running is not None:
            self._end(running, Failed(error=error))
        for sequence in waiting:
            sequence.handle.put(Failed(error=error))
