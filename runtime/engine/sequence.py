"""The state of one request and the events that its owner reads.

A sequence does not know the model: it holds tokens, how many of them are in the KV cache, and where events go.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from runtime.engine.adapters import AS_LOADED, Scales
from runtime.engine.logprobs import LogprobQueue
from runtime.engine.text_stream import TextStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runtime.engine.logprobs import TokenLogprobs
    from runtime.engine.model_runner import TokenSampler
    from runtime.engine.pictures import PromptPicture
    from runtime.engine.sampling import SamplingParams

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Token counts of a request; ``num_reused`` of the prompt's were still in the KV cache."""

    num_prompt_tokens: int
    num_generated_tokens: int
    num_reused_tokens: int


@dataclass(frozen=True, kw_only=True)
class TextDelta:
    """More text of the reply, and the log probabilities of its tokens if they were asked for; never both empty."""

    text: str
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The last event of a reply; ``token_ids`` are the generated tokens without the one that ended it.

    ``stop_string`` is the one of the request's stop strings that ended it, if one did.
    """

    reason: FinishReason
    usage: Usage
    token_ids: tuple[int, ...]
    stop_string: str | None = None


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The last event of a request that could not be completed."""

    error: Exception


Event = TextDelta | Finished | Failed


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """What to generate: a prompt of at least one token, and when to stop. ``max_tokens`` ``None``: until the end.

    ``must_fit`` refuses a request whose longest reply has no room; else that ends where the context does.
    ``pictures`` stand in the prompt as negative numbers (see ``pictures``), in their order.
    ``num_keep`` tokens at the beginning stay when the oldest part has to go (see ``context_shift``).
    ``shown_tokens`` maps control tokens to what they add to the text, where others add nothing.
    ``top_logprobs`` asks for the log probability of each token and of so many likeliest ones; ``None`` for neither.
    ``adapters`` are the scales of the model's LoRA adapters.
    """

    prompt_tokens: tuple[int, ...]
    sampling: SamplingParams
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    shown_tokens: Mapping[int, bytes] = field(default_factory=dict)
    must_fit: bool = False
    top_logprobs: int | None = None
    num_keep: int = 0
    pictures: tuple[PromptPicture, ...] = ()
    adapters: Scales = AS_LOADED


class RequestHandle:
    """The owner's side of a request: read events, or cancel. Usable from any one thread."""

    def __init__(self, on_cancel: Callable[[], None] = lambda: None) -> None:
        """``on_cancel`` wakes the engine; it must not block."""
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._on_cancel = on_cancel

    def put(self, event: Event) -> None:
        """Deliver an event; called by the engine."""
        self._events.put(event)

    def poll(self, timeout_s: float) -> Event | None:
        """Return the next event, or ``None`` when none came within ``timeout_s``."""
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def events(self) -> Iterator[Event]:
        """Yield events up to the last one; leaving the loop early cancels the request."""
        finished = False
        try:
            while not finished:
                event = self._events.get()
                finished = isinstance(event, Finished | Failed)
                yield event
        finally:
            if not finished:
                self.cancel()

    def cancel(self) -> None:
        """Ask the engine to stop working on this request; it does so within one step."""
        self._cancelled.set()
        self._on_cancel()

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._cancelled.is_set()


@dataclass(kw_only=True)
class Sequence:
    """A request in the engine: its tokens (prompt, then reply) and how many of them the KV cache holds.

    ``generated`` is the reply. ``tokens`` ends with it, but lacks its beginning once the context was shifted that far.

    ``cache_id`` names its place in the cache; ``None`` while it has none, which is before its first step and after
    it had to give way to others. ``order`` is the order of arrival, ``last_step`` the last step it had a part in.
    """

    request: GenerationRequest
    handle: RequestHandle
    tokens: list[int]
    text: TextStream
    generated: list[int] = field(default_factory=list)
    logprobs: LogprobQueue = field(default_factory=LogprobQueue)
    order: int = 0
    cache_id: int | None = None
    sampler: TokenSampler | None = None
    num_computed: int = 0
    num_reused: int | None = None
    num_reserved: int = 0
    last_step: int = -1
    suspect: bool = False
    submitted_at_s: float = field(default_factory=time.monotonic)

    @classmethod
    def from_request(cls, request: GenerationRequest, handle: RequestHandle, order: int = 0) -> Sequence:
        """Make the waiting sequence of a request."""
        text = TextStream(request.stop)
        return cls(request=request, handle=handle, tokens=list(request.prompt_tokens), text=text, order=order)

    @property
    def num_prompt(self) -> int:
        """Number of prompt tokens."""
        return len(self.request.prompt_tokens)

    @property
    def adapters(self) -> Scales:
        """The LoRA adapters it is generated with."""
        return self.request.adapters

    @property
    def num_remaining(self) -> int:
        """Tokens that are not in the KV cache yet: one while a reply is generated, more while a prompt is read."""
        return len(self.tokens) - self.num_computed

    @property
    def next_picture(self) -> PromptPicture | None:
        """The picture that is to be run next, if it is one and not a token."""
        return next((one for one in self.request.pictures if one.start == self.num_computed), None)

    @property
    def num_ready(self) -> int:
        """Tokens that remain up to the next picture, or to the end."""
        starts = (one.start for one in self.request.pictures if one.start >= self.num_computed)
        return min((*starts, len(self.tokens))) - self.num_computed

    def append(self, token: int) -> None:
        """Add a token to the reply."""
        self.tokens.append(token)
        self.generated.append(token)

    def drop(self, start: int, count: int) -> None:
        """Forget ``count`` tokens from ``start`` on, which the KV cache has forgotten or is to forget."""
        del self.tokens[start : start + count]
        self.num_computed = min(self.num_computed, start) + max(0, self.num_computed - start - count)

    @property
    def num_generated(self) -> int:
        """Number of tokens of the reply so far."""
        return len(self.generated)

    def usage(self) -> Usage:
        """Count tokens for the final event."""
        return Usage(
            num_prompt_tokens=self.num_prompt,
            num_generated_tokens=self.num_generated,
            num_reused_tokens=self.num_reused or 0,
        )
