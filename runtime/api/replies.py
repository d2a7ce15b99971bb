"""The replies of one HTTP request, as they come from the engine: one, or several at the same time.

A client that goes away frees its place in the engine, noticed either when writing to it fails or, while nothing is
written, by asking the server.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Response

from packer.errors import PackerError
from runtime.api.context import chat_service, client_gone, metrics
from runtime.api.errors import ApiError, api_error
from runtime.chat_reply import ChatEvent, ChatHandle, ReasoningDelta, ToolCallDelta, ToolCallStart, is_last
from runtime.engine.sequence import Failed, Finished, RequestHandle, TextDelta, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runtime.api.metrics import Metrics
    from runtime.engine.logprobs import TokenLogprobs
    from runtime.prompt import PromptEncoder

Handle = RequestHandle | ChatHandle
LOADING_TIMEOUT_S = 300.0
POLL_S = 0.25
SHARED_POLL_S = 0.005
"""How long one of several silent replies is waited for before the others are looked at again."""
CLIENT_CLOSED_REQUEST = 499
"""Status for a client that is gone; nobody reads it (nginx uses this number)."""


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call of a tool; ``arguments`` is the JSON text of an object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A whole reply; ``tool_calls`` in the order of their indices.

    ``logprobs`` are those of all tokens, ``text_logprobs`` those of the text alone.
    """

    text: str
    finished: Finished
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    text_logprobs: tuple[TokenLogprobs, ...] = ()


class ClientGoneError(ApiError):
    """The client closed its connection; its requests are cancelled."""

    def __init__(self) -> None:
        """Answer with a status that nobody reads."""
        super().__init__(CLIENT_CLOSED_REQUEST, "the client closed the connection")


class Replies:
    """Iterates over ``(index, event)`` of several requests until all have ended, one has failed or the client left."""

    def __init__(self, handles: Sequence[Handle], gone: Callable[[], bool], observed: Metrics) -> None:
        """Wait for the first event. Raises ClientGoneError, or ApiError for a reply that fails at once."""
        self._handles = handles
        self._gone = gone
        self._open = set(range(len(handles)))
        self._observers = [observed.observe() for _ in handles]
        self._first = self._next()
        if self._first is None:
            raise ClientGoneError
        if isinstance(self._first[1], Failed):
            self.cancel()
            raise api_error(self._first[1].error)

    def __iter__(self) -> Iterator[tuple[int, ChatEvent]]:
        """Yield events in the order in which they come; usable once."""
        following, self._first = self._first, None
        while following is not None:
            yield following
            if isinstance(following[1], Failed):
                self.cancel()
                return
            following = self._next() if self._open else None

    def collect(self) -> list[Reply]:
        """Wait for all replies. Raises ApiError when one fails, ClientGoneError when the client leaves."""
        collected = [_Collected() for _ in self._handles]
        for index, event in self:
            if isinstance(event, Failed):
                raise api_error(event.error)
            collected[index].add(event)
        replies = [one.reply() for one in collected]
        if None in replies:
            raise ClientGoneError
        return [reply for reply in replies if reply is not None]

    def cancel(self) -> None:
        """Stop what is still generating; harmless after the end."""
        for handle, observer in zip(self._handles, self._observers, strict=True):
            handle.cancel()
            observer.close()

    def _next(self) -> tuple[int, ChatEvent] | None:
        """Wait for an event; ``None``, with everything cancelled, when the client goes away meanwhile."""
        while not self._gone():
            for index in sorted(self._open):
                wait_s = POLL_S if len(self._open) == 1 else SHARED_POLL_S / len(self._open)
                event = self._handles[index].poll(wait_s)
                if event is not None:
                    self._observers[index].event(event)
                    if is_last(event):
                        self._open.discard(index)
                    return index, event
        self.cancel()
        return None


class _Collected:
    """What came of one reply so far."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._logprobs: list[TokenLogprobs] = []
        self._text_logprobs: list[TokenLogprobs] = []
        self._calls: dict[int, ToolCallStart] = {}
        self._arguments: dict[int, list[str]] = {}
        self._end: Finished | None = None

    def add(self, event: ChatEvent) -> None:
        """Take note of an event."""
        if isinstance(event, TextDelta):
            self._texts.append(event.text)
            self._logprobs += event.logprobs
            self._text_logprobs += event.logprobs if event.text else ()
        elif isinstance(event, ReasoningDelta):
            self._reasoning.append(event.text)
            self._logprobs += event.logprobs
        elif isinstance(event, ToolCallStart):
            self._calls[event.index] = event
            self._arguments[event.index] = []
        elif isinstance(event, ToolCallDelta):
            self._arguments[event.index].append(event.arguments)
        elif isinstance(event, Finished):
            self._end = event

    def reply(self) -> Reply | None:
        """Return the whole reply, ``None`` before its end."""
        if self._end is None:
            return None
        calls = [
            ToolCall(id=call.id, name=call.name, arguments="".join(self._arguments[index]))
            for index, call in sorted(self._calls.items())
        ]
        return Reply(
            text="".join(self._texts),
            finished=self._end,
            reasoning="".join(self._reasoning),
            tool_calls=tuple(calls),
            logprobs=tuple(self._logprobs),
            text_logprobs=tuple(self._text_logprobs),
        )


def start_replies(start: Callable[[], Sequence[Handle]], prompt_field: str = "messages") -> Replies:
    """Wait for the model, call ``start`` and wait until the first reply begins.

    Raises ApiError; ``prompt_field`` is the field at fault when the prompt is.
    """
    gone = client_gone()
    require_ready(gone)
    try:
        handles = start()
    except PackerError as error:
        metrics().refuse()
        raise api_error(error, prompt_field) from error
    return Replies(handles, gone, metrics())


def require_ready(gone: Callable[[], bool] | None = None) -> None:
    """Wait for the model to load. Raises ApiError 503 when it takes too long."""
    if not chat_service().wait_ready(LOADING_TIMEOUT_S, gone or client_gone()):
        raise ApiError(503, "the model is still loading; try again", code="model_loading", retry_after_s=5)


class EventStream:
    """A response body made of server-sent events. ``close``, called however the response ends, frees the engine.

    It is no generator because closing one that was never started runs none of its code.
    """

    def __init__(self, replies: Replies, pieces: Iterable[bytes]) -> None:
        """Send ``pieces``, which are made from ``replies``."""
        self._replies = replies
        self._pieces = iter(pieces)

    def __iter__(self) -> Iterator[bytes]:
        """Return the stream itself."""
        return self

    def __next__(self) -> bytes:
        """Return the next event as bytes."""
        return next(self._pieces)

    def close(self) -> None:
        """Stop generating; harmless after the end."""
        self._replies.cancel()


def event_stream(replies: Replies, pieces: Iterable[bytes]) -> Response:
    """Answer with a stream of ``pieces``."""
    body = EventStream(replies, pieces)
    return Response(body, mimetype="text/event-stream", headers={"Cache-Control": "no-store"})


def sse(document: dict[str, Any], name: str | None = None) -> bytes:
    """Return one server-sent event, with an event name if one is given."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def finish_reason(finished: Finished, *, calls_tools: bool = False) -> str:
    """Return OpenAI's word for why the reply ended."""
    if finished.reason == "length":
        return "length"
    return "tool_calls" if calls_tools else "stop"


def count_tokens(encoder: PromptEncoder, texts: Iterable[str]) -> int:
    """Count the tokens of generated texts, each by itself."""
    return sum(len(encoder.tokenize(text, add_special=False, parse_special=False)) for text in texts if text)


def usage_document(usages: Sequence[Usage], num_choices: int = 1, num_reasoning_tokens: int = 0) -> dict[str, Any]:
    """Return token counts as OpenAI's API names them, added up; ``num_choices`` in a row share one prompt."""
    prompt = sum(usage.num_prompt_tokens for usage in usages[::num_choices])
    generated = sum(usage.num_generated_tokens for usage in usages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": {"cached_tokens": sum(usage.num_reused_tokens for usage in usages[::num_choices])},
        "completion_tokens_details": {"reasoning_tokens": min(num_reasoning_tokens, generated)},
    }


def now_s() -> int:
    """Return the time as OpenAI's ``created`` fields have it, in seconds since 1970."""
    return int(time.time())
