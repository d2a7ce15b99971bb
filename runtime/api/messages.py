"""``POST /v1/messages``, Anthropic's API: text in, text out, streaming and not; and ``/v1/messages/count_tokens``.

Source: Anthropic API reference, "Create a Message" and "Streaming Messages".
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify

from runtime.api.chat_request import join_parts
from runtime.api.context import chat_service, json_body
from runtime.api.errors import ApiError, api_error
from runtime.api.fields import flag, mapping, max_tokens, stop_strings, text, wrong
from runtime.api.generation_fields import sampling_fields
from runtime.api.replies import Replies, event_stream, require_ready, sse, start_replies
from runtime.chat_service import ChatRequest
from runtime.engine.sequence import Failed, Finished, TextDelta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.typing import ResponseReturnValue

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


def parse_message_request(document: dict[str, Any], *, needs_limit: bool = True) -> ChatRequest:
    """Check ``document``. Raises ApiError 400 that names the field, what was expected and what was found."""
    text(document, "model")
    limit = max_tokens(document, "max_tokens")
    if limit is None and needs_limit:
        raise ApiError(400, "max_tokens: expected a whole number of at least 1", param="max_tokens")
    if document.get("tools") and (mapping(document, "tool_choice") or {}).get("type") != "none":
        raise ApiError(400, "tools: this program can't call tools yet; send the request without", param="tools")
    if (mapping(document, "thinking") or {}).get("type", "disabled") != "disabled":
        raise ApiError(400, "thinking: this program can't switch it on; send the request without", param="thinking")
    messages = _messages(document.get("messages"))
    system = document.get("system")
    if system is not None and (content := join_parts(system, "system")):
        messages.insert(0, {"role": "system", "content": content})
    return ChatRequest(
        messages=tuple(messages),
        sampling=sampling_fields(document),
        max_tokens=limit,
        stop=stop_strings(document, "stop_sequences", may_be_single=False),
    )


def _messages(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise wrong("messages", "a list", value)
    if not value:
        raise ApiError(400, "messages: expected at least one message", param="messages")
    return [_message(message, f"messages[{index}]") for index, message in enumerate(value)]


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise wrong(where, "an object", message)
    role = message.get("role")
    if role not in ("user", "assistant"):
        raise ApiError(400, f"{where}.role: expected user or assistant, found {role!r:.60}", param=f"{where}.role")
    return {"role": role, "content": join_parts(message.get("content"), f"{where}.content")}


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
        return event_stream(replies, (sse(event, event["type"]) for event in _events(replies, head)))
    reply = replies.collect()[0]
    content = [{"type": "text", "text": reply.text}]
    return jsonify({**head, "content": content, **_ending(reply.finished), "usage": _usage(reply.finished.usage)})


def count_tokens() -> Response:
    """Answer with the number of tokens of the prompt that the messages would make."""
    document = json_body()
    request = parse_message_request(document, needs_limit=False)
    flag(document, "stream")
    require_ready()
    service = chat_service()
    prompt = service.require_encoder().encode_chat(service.with_system_prompt(request.messages))
    return jsonify(input_tokens=len(prompt))


def _ending(finished: Finished) -> dict[str, Any]:
    """Say why the reply ended."""
    if finished.stop_string is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": finished.stop_string}
    return {"stop_reason": "max_tokens" if finished.reason == "length" else "end_turn", "stop_sequence": None}


def _usage(usage: Usage) -> dict[str, int]:
    """Return token counts as this API names them; the prompt's counts exclude each other."""
    return {
        "input_tokens": usage.num_prompt_tokens - usage.num_reused_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.num_reused_tokens,
        "output_tokens": usage.num_generated_tokens,
    }


def _events(replies: Replies, head: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of a stream; how long the prompt was is told in the last but one."""
    usage = {"input_tokens": 0, "output_tokens": 0}
    start = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield {"type": "message_start", "message": start}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for _index, event in replies:
        if isinstance(event, TextDelta):
            delta = {"type": "text_delta", "text": event.text}
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        elif isinstance(event, Failed):
            yield error_document(api_error(event.error))
        else:
            yield {"type": "content_block_stop", "index": 0}
            yield {"type": "message_delta", "delta": _ending(event), "usage": _usage(event.usage)}
            yield {"type": "message_stop"}
