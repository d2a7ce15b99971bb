"""``POST /v1/responses``: text in, text out, nothing stored; streaming and not.

Source: OpenAI API reference, "Create a model response" and "Streaming events". Earlier turns come with each request;
``previous_response_id`` is refused because nothing is kept.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from runtime.api.chat_request import join_parts
from runtime.api.context import chat_service, json_body
from runtime.api.errors import ApiError, api_error
from runtime.api.fields import flag, integer, mapping, max_tokens, text, wrong
from runtime.api.generation_fields import output_format, sampling_fields
from runtime.api.replies import Replies, event_stream, now_s, sse, start_replies
from runtime.chat_service import ChatRequest
from runtime.engine.sequence import Failed, Finished, TextDelta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.typing import ResponseReturnValue

    from runtime.engine.sequence import Usage

ROLES = ("system", "developer", "user", "assistant")
TEXT_PARTS = ("input_text", "output_text", "text")
REFUSED = ("previous_response_id", "conversation", "prompt")
FORMAT_FIELD = "text.format"


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("responses", __name__)
    blueprint.post("/v1/responses")(create_response)
    return blueprint


def parse_response_request(document: dict[str, Any]) -> ChatRequest:
    """Check ``document``. Raises ApiError 400 that names the field, what was expected and what was found."""
    for name in REFUSED:
        if document.get(name) is not None:
            raise ApiError(400, f"{name}: nothing is kept between requests; send the whole input", param=name)
    if flag(document, "background"):
        raise ApiError(
            400, "background: the reply can't be fetched later; send the request without", param="background"
        )
    if document.get("tools") and document.get("tool_choice") != "none":
        raise ApiError(400, "tools: this program can't call tools yet; send the request without", param="tools")
    if integer(document, "top_logprobs", 0):
        raise ApiError(400, "top_logprobs: not available from this program", param="top_logprobs")
    text(document, "model")
    mapping(document, "metadata")
    instructions = text(document, "instructions")
    messages = _input(document.get("input"))
    if instructions:
        messages.insert(0, {"role": "system", "content": instructions})
    return ChatRequest(
        messages=tuple(messages),
        sampling=sampling_fields(document),
        max_tokens=max_tokens(document, "max_output_tokens"),
        grammar=output_format(_format(document), FORMAT_FIELD),
        grammar_field=FORMAT_FIELD,
    )


def _format(document: dict[str, Any]) -> dict[str, Any] | None:
    wanted = (mapping(document, "text") or {}).get("format")
    if wanted is not None and not isinstance(wanted, dict):
        raise wrong(FORMAT_FIELD, "an object", wanted)
    return wanted


def _input(value: Any) -> list[dict[str, Any]]:
    """Read ``input``: a text, or a list of messages."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise wrong("input", "a string or a list of messages", value)
    if not value:
        raise ApiError(400, "input: expected at least one message", param="input")
    return [_item(item, f"input[{index}]") for index, item in enumerate(value)]


def _item(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise wrong(where, "an object", item)
    if item.get("type", "message") != "message":
        raise ApiError(400, f"{where}.type: expected message, found {item['type']!r:.60}", param=f"{where}.type")
    role = item.get("role")
    if role not in ROLES:
        expected = ", ".join(ROLES)
        raise ApiError(400, f"{where}.role: expected one of {expected}, found {role!r:.60}", param=f"{where}.role")
    return {"role": role, "content": join_parts(item.get("content"), f"{where}.content", TEXT_PARTS)}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What all events of one answer share; ``document`` is the request."""

    model: str
    document: dict[str, Any]
    id: str = field(default_factory=lambda: f"resp_{secrets.token_hex(16)}")
    message_id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(16)}")
    created: int = field(default_factory=now_s)

    def body(self, status: str, reply: str | None = None, usage: Usage | None = None) -> dict[str, Any]:
        """Return the response object; ``reply`` once there is one."""
        request = self.document
        incomplete = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": incomplete,
            "instructions": request.get("instructions"),
            "max_output_tokens": request.get("max_output_tokens"),
            "metadata": request.get("metadata") or {},
            "model": self.model,
            "output": [] if reply is None else [self.item(status, reply)],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": request.get("temperature"),
            "text": {"format": (request.get("text") or {}).get("format") or {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": request.get("top_p"),
            "truncation": "disabled",
            "usage": None if usage is None else usage_document(usage),
        }

    def item(self, status: str, reply: str | None) -> dict[str, Any]:
        """Return the output message."""
        content = [] if reply is None else [part(reply)]
        return {"type": "message", "id": self.message_id, "status": status, "role": "assistant", "content": content}


def part(reply: str) -> dict[str, Any]:
    """Return the content part of a reply."""
    return {"type": "output_text", "text": reply, "annotations": [], "logprobs": []}


def usage_document(usage: Usage) -> dict[str, Any]:
    """Return token counts as this API names them."""
    return {
        "input_tokens": usage.num_prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.num_reused_tokens},
        "output_tokens": usage.num_generated_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.num_prompt_tokens + usage.num_generated_tokens,
    }


def status_of(finished: Finished) -> str:
    """Return this API's word for how the reply ended."""
    return "incomplete" if finished.reason == "length" else "completed"


def create_response() -> ResponseReturnValue:
    """Answer a request."""
    document = json_body()
    request = parse_response_request(document)
    stream = flag(document, "stream")
    service = chat_service()
    replies = start_replies(lambda: service.start_chats(request, 1), "input")
    answer = Answer(model=service.facts.model_name, document=document)
    if stream:
        return event_stream(replies, _numbered(_events(replies, answer)))
    reply = replies.collect()[0]
    return jsonify(answer.body(status_of(reply.finished), reply.text, reply.finished.usage))


def _numbered(events: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[bytes]:
    for number, (kind, fields) in enumerate(events):
        yield sse({"type": kind, "sequence_number": number, **fields}, kind)


def _events(replies: Replies, answer: Answer) -> Iterator[tuple[str, dict[str, Any]]]:
    place = {"item_id": answer.message_id, "output_index": 0, "content_index": 0}
    yield "response.created", {"response": answer.body("in_progress")}
    yield "response.in_progress", {"response": answer.body("in_progress")}
    yield "response.output_item.added", {"output_index": 0, "item": answer.item("in_progress", None)}
    yield "response.content_part.added", {**place, "part": part("")}
    texts = []
    for _index, event in replies:
        if isinstance(event, TextDelta):
            texts.append(event.text)
            yield "response.output_text.delta", {**place, "delta": event.text, "logprobs": []}
        elif isinstance(event, Failed):
            error = api_error(event.error)
            yield "error", {"code": error.code, "message": str(error), "param": error.param}
        else:
            yield from _last_events(answer, place, "".join(texts), event)


def _last_events(
    answer: Answer, place: dict[str, Any], reply: str, finished: Finished
) -> Iterator[tuple[str, dict[str, Any]]]:
    status = status_of(finished)
    yield "response.output_text.done", {**place, "text": reply, "logprobs": []}
    yield "response.content_part.done", {**place, "part": part(reply)}
    yield "response.output_item.done", {"output_index": 0, "item": answer.item(status, reply)}
    yield f"response.{status}", {"response": answer.body(status, reply, finished.usage)}
