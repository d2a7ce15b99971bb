"""``POST /v1/chat/completions``, streaming and not.

Whatever can fail is settled before the answer begins: the fields are checked, the model is loaded, the prompt has
been read and the first token is there. A client that goes away frees its place in the engine, noticed either when
writing to it fails or, while nothing is written, by asking the server.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify

from runtime.api.chat_request import parse_chat_request
from runtime.api.context import chat_service, client_gone, json_body
from runtime.api.errors import ApiError, api_error
from runtime.engine.sequence import Event, Failed, Finished, RequestHandle, TextDelta, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.typing import ResponseReturnValue

LOADING_TIMEOUT_S = 300.0
POLL_S = 0.25
CLIENT_CLOSED_REQUEST = 499
"""Status for a client that is gone; nobody reads it (nginx uses this number)."""


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("chat_completions", __name__)
    blueprint.post("/v1/chat/completions")(create_chat_completion)
    return blueprint


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What all pieces of one answer share."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, finished: Finished) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "logprobs": None,
            "finish_reason": finish_reason(finished),
        }
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage_document(finished.usage)}

    def chunk(self, delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        """Return one piece of a streamed answer."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
        """Return the last piece of a stream that was asked to include usage."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage_document(usage)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def create_chat_completion() -> ResponseReturnValue:
    """Answer a chat request."""
    parsed = parse_chat_request(json_body())
    service, gone = chat_service(), client_gone()
    if not service.wait_ready(LOADING_TIMEOUT_S, gone):
        raise ApiError(503, "the model is still loading; try again", code="model_loading", retry_after_s=5)
    handle = service.start_chat(parsed.chat)
    completion = Completion(model=service.facts.model_name)
    first = next_event(handle, gone)
    if first is None:
        return Response(status=CLIENT_CLOSED_REQUEST)
    if isinstance(first, Failed):
        raise api_error(first.error)
    if parsed.stream:
        stream = EventStream(handle, first, gone, completion, include_usage=parsed.include_usage)
        return Response(stream, mimetype="text/event-stream", headers={"Cache-Control": "no-store"})
    return _collect(handle, first, gone, completion)


def _collect(handle: RequestHandle, first: Event, gone: Callable[[], bool], completion: Completion) -> Response:
    texts: list[str] = []
    event: Event | None = first
    while isinstance(event, TextDelta):
        texts.append(event.text)
        event = next_event(handle, gone)
    if event is None:
        return Response(status=CLIENT_CLOSED_REQUEST)
    if isinstance(event, Failed):
        raise api_error(event.error)
    return jsonify(completion.whole("".join(texts), event))


def next_event(handle: RequestHandle, gone: Callable[[], bool]) -> Event | None:
    """Wait for the next event; when the client goes away meanwhile, cancel the request and return ``None``."""
    while not gone():
        event = handle.poll(POLL_S)
        if event is not None:
            return event
    handle.cancel()
    return None


class EventStream:
    """The server-sent events of one answer. ``close``, called however the response ends, frees the engine.

    It is no generator because closing one that was never started runs none of its code.
    """

    def __init__(
        self,
        handle: RequestHandle,
        first: Event,
        gone: Callable[[], bool],
        completion: Completion,
        *,
        include_usage: bool,
    ) -> None:
        """Prepare to send ``first`` and what comes after it."""
        self._handle = handle
        self._pieces = self._generate(first, gone, completion, include_usage)

    def __iter__(self) -> Iterator[bytes]:
        """Return the stream itself."""
        return self

    def __next__(self) -> bytes:
        """Return the next event as bytes."""
        return next(self._pieces)

    def close(self) -> None:
        """Stop generating; harmless after the end."""
        self._handle.cancel()

    def _generate(
        self, first: Event, gone: Callable[[], bool], completion: Completion, include_usage: bool
    ) -> Iterator[bytes]:
        yield _sse(completion.chunk({"role": "assistant", "content": ""}))
        event: Event | None = first
        while isinstance(event, TextDelta):
            yield _sse(completion.chunk({"content": event.text}))
            event = next_event(self._handle, gone)
        if event is None:
            return
        if isinstance(event, Failed):
            yield _sse(api_error(event.error).document())
            return
        yield _sse(completion.chunk({}, finish_reason(event)))
        if include_usage:
            yield _sse(completion.usage_chunk(event.usage))
        yield b"data: [DONE]\n\n"


def finish_reason(finished: Finished) -> str:
    """Return OpenAI's word for why the reply ended."""
    return "length" if finished.reason == "length" else "stop"


def usage_document(usage: Usage) -> dict[str, Any]:
    """Return token counts as OpenAI's API names them."""
    return {
        "prompt_tokens": usage.num_prompt_tokens,
        "completion_tokens": usage.num_generated_tokens,
        "total_tokens": usage.num_prompt_tokens + usage.num_generated_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.num_reused_tokens},
    }


def _sse(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
