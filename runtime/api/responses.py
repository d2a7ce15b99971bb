"""``POST /v1/responses``: text, tools and reasoning, nothing stored; streaming and not.

Source: OpenAI API reference, "Create a model response" and "Streaming events". Earlier turns come with each request;
``previous_response_id`` is refused because nothing is kept.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from runtime.api.context import chat_service, json_body
from runtime.api.errors import api_error
from runtime.api.fields import flag
from runtime.api.logprobs import LogprobWriter
from runtime.api.replies import Replies, Reply, count_tokens, event_stream, now_s, sse, start_replies
from runtime.api.response_items import Item, ItemStream, MessageItem, ReasoningItem, items_of
from runtime.api.response_request import parse_response_request
from runtime.engine.sequence import Failed, Finished

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flask.typing import ResponseReturnValue

    from runtime.chat_service import ChatRequest
    from runtime.engine.sequence import Usage


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("responses", __name__)
    blueprint.post("/v1/responses")(create_response)
    return blueprint


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What all events of one answer share; ``document`` is the request and ``request`` what was read from it."""

    model: str
    document: dict[str, Any]
    request: ChatRequest
    logprobs: LogprobWriter
    id: str = field(default_factory=lambda: f"resp_{secrets.token_hex(16)}")
    created: int = field(default_factory=now_s)

    def body(self, status: str, items: Sequence[Item] = (), usage: Usage | None = None) -> dict[str, Any]:
        """Return the response object with the items that are there so far."""
        request, template = self.document, self.request.template
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
            "output": [item.document(status) for item in items],
            "parallel_tool_calls": template.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": template.variables.get("reasoning_effort"), "summary": None},
            "store": False,
            "temperature": request.get("temperature"),
            "text": {"format": (request.get("text") or {}).get("format") or {"type": "text"}},
            "tool_choice": request.get("tool_choice") or "auto",
            "tools": [{"type": "function", "strict": True, **tool["function"]} for tool in template.tools],
            "top_logprobs": self.request.top_logprobs or 0,
            "top_p": request.get("top_p"),
            "truncation": "disabled",
            "usage": None if usage is None else usage_document(usage, self._num_reasoning_tokens(items)),
        }

    def _num_reasoning_tokens(self, items: Sequence[Item]) -> int:
        """Count the tokens of the thoughts, as their text is tokenized."""
        return count_tokens(self.logprobs.encoder, (item.text for item in items if isinstance(item, ReasoningItem)))


def usage_document(usage: Usage, num_reasoning_tokens: int) -> dict[str, Any]:
    """Return token counts as this API names them."""
    return {
        "input_tokens": usage.num_prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.num_reused_tokens},
        "output_tokens": usage.num_generated_tokens,
        "output_tokens_details": {"reasoning_tokens": min(num_reasoning_tokens, usage.num_generated_tokens)},
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
    logprobs = LogprobWriter(encoder=service.require_encoder(), wanted=request.top_logprobs is not None)
    answer = Answer(model=service.facts.model_name, document=document, request=request, logprobs=logprobs)
    if stream:
        return event_stream(replies, _numbered(_events(replies, answer)))
    reply: Reply = replies.collect()[0]
    items = items_of(reply, logprobs)
    return jsonify(answer.body(status_of(reply.finished), items, reply.finished.usage))


def _numbered(events: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[bytes]:
    for number, (kind, fields) in enumerate(events):
        yield sse({"type": kind, "sequence_number": number, **fields}, kind)


def _events(replies: Replies, answer: Answer) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "response.created", {"response": answer.body("in_progress")}
    yield "response.in_progress", {"response": answer.body("in_progress")}
    output = ItemStream(answer.logprobs)
    for _index, event in replies:
        if isinstance(event, Failed):
            error = api_error(event.error)
            yield "error", {"code": error.code, "message": str(error), "param": error.param}
        elif isinstance(event, Finished):
            status = status_of(event)
            if not output.items:
                yield from output.begin(MessageItem())
            yield from output.end(status)
            yield f"response.{status}", {"response": answer.body(status, output.items, event.usage)}
        else:
            yield from output.events(event)
