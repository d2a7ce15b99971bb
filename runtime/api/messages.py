"""``POST /v1/messages``, Anthropic's API: text, tools, thinking, streaming and not; and ``/v1/messages/count_tokens``.

Source: Anthropic API reference, "Create a Message" and "Streaming Messages". Thoughts have an empty signature: nobody
vouches for them.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify

from runtime.api.context import chat_service, json_body
from runtime.api.errors import ApiError, api_error
from runtime.api.fields import flag
from runtime.api.message_request import parse_message_request
from runtime.api.replies import Replies, Reply, event_stream, require_ready, sse, start_replies
from runtime.chat_reply import ReasoningDelta, ToolCallDelta, ToolCallStart
from runtime.engine.sequence import Failed, Finished, TextDelta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.typing import ResponseReturnValue

    from runtime.chat_reply import ChatEvent
    from runtime.chat_service import ChatRequest
    from runtime.engine.sequence import Usage

KINDS = {400: "invalid_request_error", 404: "not_found_error", 413: "request_too_large", 503: "overloaded_error"}


def create_blueprint() -> Blueprint:
    """Make the blueprint, whose errors have this API's shape."""
    blueprint = Blueprint("messages", __name__)
    blueprint.post("/v1/messages")(create_message)
    blueprint.post("/v1/messages/count_tokens")(count_tokens)
    blueprint.register_error_handler(Exception, _error_response)
    return blueprint


def error_document(error: ApiError) -> dict[str, Any]:
    """Return the body of an error."""
    default = "api_error" if error.status >= 500 else "invalid_request_error"
    return {"type": "error", "error": {"type": KINDS.get(error.status, default), "message": str(error)}}


def _error_response(error: Exception) -> Response:
    from werkzeug.exceptions import HTTPException

    if isinstance(error, HTTPException):
        problem = ApiError(error.code or 500, error.description or error.name)
    else:
        problem = api_error(error)
    response = problem.response()
    response.data = jsonify(error_document(problem)).data
    return response


def create_message() -> ResponseReturnValue:
    """Answer a request."""
    document = json_body()
    request = parse_message_request(document)
    stream = flag(document, "stream")
    service = chat_service()
    replies = start_replies(lambda: service.start_chats(request, 1))
    head = {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": service.facts.model_name,
    }
    if stream:
        return event_stream(replies, (sse(event, event["type"]) for event in _events(replies, head, request)))
    reply = replies.collect()[0]
    ending = _ending(reply.finished, request, calls_tools=bool(reply.tool_calls))
    return jsonify({**head, "content": _content(reply), **ending, "usage": _usage(reply.finished.usage)})


def _content(reply: Reply) -> list[dict[str, Any]]:
    """Return the content blocks of a whole reply; there is always at least one."""
    blocks: list[dict[str, Any]] = []
    if reply.reasoning:
        blocks.append({"type": "thinking", "thinking": reply.reasoning, "signature": ""})
    if reply.text or not (blocks or reply.tool_calls):
        blocks.append({"type": "text", "text": reply.text})
    for call in reply.tool_calls:
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)})
    return blocks


def _input(arguments: str) -> dict[str, Any]:
    """Read the arguments of a call; one that was cut off has none that could be shown as an object."""
    try:
        found = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def count_tokens() -> Response:
    """Answer with the number of tokens of the prompt that the messages would make."""
    document = json_body()
    request = parse_message_request(document, needs_limit=False)
    flag(document, "stream")
    require_ready()
    service = chat_service()
    prompt = service.encode_chat(request)
    return jsonify(input_tokens=len(prompt))


def _ending(finished: Finished, request: ChatRequest, *, calls_tools: bool) -> dict[str, Any]:
    """Say why the reply ended."""
    if finished.reason == "length":
        return {"stop_reason": "max_tokens", "stop_sequence": None}
    if calls_tools:
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if finished.stop_string in request.stop:
        return {"stop_reason": "stop_sequence", "stop_sequence": finished.stop_string}
    return {"stop_reason": "end_turn", "stop_sequence": None}


def _usage(usage: Usage) -> dict[str, int]:
    """Return token counts as this API names them; the prompt's counts exclude each other."""
    return {
        "input_tokens": usage.num_prompt_tokens - usage.num_reused_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.num_reused_tokens,
        "output_tokens": usage.num_generated_tokens,
    }


class _Blocks:
    """The content blocks of a stream: a new one begins when the kind of content changes."""

    def __init__(self) -> None:
        self._index = -1
        self._kind: object = None
        self.calls_tools = False

    def events(self, event: ChatEvent) -> Iterator[dict[str, Any]]:
        """Yield what an event adds."""
        if isinstance(event, ToolCallStart):
            self.calls_tools = True
            block = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
            yield from self._begin(("tool_use", event.index), block)
        elif isinstance(event, ToolCallDelta):
            yield self._delta({"type": "input_json_delta", "partial_json": event.arguments})
        elif isinstance(event, ReasoningDelta):
            yield from self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            yield self._delta({"type": "thinking_delta", "thinking": event.text})
        elif isinstance(event, TextDelta) and event.text:
            yield from self._begin("text", {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": event.text})

    def end(self) -> Iterator[dict[str, Any]]:
        """Yield what completes the last block; an empty reply is an empty text."""
        if self._kind is None:
            yield from self._begin("text", {"type": "text", "text": ""})
        yield {"type": "content_block_stop", "index": self._index}

    def _begin(self, kind: object, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if kind == self._kind:
            return
        if self._kind is not None:
            yield {"type": "content_block_stop", "index": self._index}
        self._kind = kind
        self._index += 1
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}


def _events(replies: Replies, head: dict[str, Any], request: ChatRequest) -> Iterator[dict[str, Any]]:
    """Yield the events of a stream; how long the prompt was is told in the last but one."""
    usage = {"input_tokens": 0, "output_tokens": 0}
    start = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield {"type": "message_start", "message": start}
    blocks = _Blocks()
    for _index, event in replies:
        if isinstance(event, Failed):
            yield error_document(api_error(event.error))
        elif isinstance(event, Finished):
            yield from blocks.end()
            ending = _ending(event, request, calls_tools=blocks.calls_tools)
            yield {"type": "message_delta", "delta": ending, "usage": _usage(event.usage)}
            yield {"type": "message_stop"}
        else:
            yield from blocks.events(event)
