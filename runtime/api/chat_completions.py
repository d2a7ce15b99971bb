"""``POST /v1/chat/completions``, streaming and not.

Whatever can fail is settled before the answer begins: the fields are checked, the model is loaded, the prompt has
been read and the first token is there.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from runtime.api.chat_request import ParsedRequest, make_call, parse_chat_request
from runtime.api.context import chat_service, json_body
from runtime.api.errors import api_error
from runtime.api.logprobs import LogprobWriter
from runtime.api.replies import (
    Replies,
    Reply,
    count_tokens,
    event_stream,
    finish_reason,
    now_s,
    sse,
    start_replies,
    usage_document,
)
from runtime.chat_reply import ReasoningDelta, ToolCallDelta, ToolCallStart
from runtime.engine.sequence import Failed, Finished, TextDelta

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from flask.typing import ResponseReturnValue

    from runtime.chat_reply import ChatEvent
    from runtime.engine.logprobs import TokenLogprobs
    from runtime.engine.sequence import Usage


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("chat_completions", __name__)
    blueprint.post("/v1/chat/completions")(create_chat_completion)
    return blueprint


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What all pieces of one answer share."""

    model: str
    num_choices: int
    logprobs: LogprobWriter
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=now_s)

    def whole(self, replies: list[Reply]) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        choices = [
            {
                "index": index,
                "message": message(reply),
                "logprobs": self.logprobs.chat(reply.logprobs),
                "finish_reason": finish_reason(reply.finished, calls_tools=bool(reply.tool_calls)),
            }
            for index, reply in enumerate(replies)
        ]
        usages = [reply.finished.usage for reply in replies]
        usage = self._usage(usages, [reply.reasoning for reply in replies])
        return {**self._head("chat.completion"), "choices": choices, "usage": usage}

    def chunk(
        self, index: int, delta: dict[str, Any], reason: str | None = None, tokens: Sequence[TokenLogprobs] = ()
    ) -> dict[str, Any]:
        """Return one piece of a streamed answer."""
        logprobs = self.logprobs.chat(tokens) if tokens else None
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, usages: list[Usage], thoughts: Iterable[str]) -> dict[str, Any]:
        """Return the last piece of a stream that was asked to include usage."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage(usages, thoughts)}

    def _usage(self, usages: list[Usage], thoughts: Iterable[str]) -> dict[str, Any]:
        return usage_document(usages, self.num_choices, count_tokens(self.logprobs.encoder, thoughts))

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def message(reply: Reply) -> dict[str, Any]:
    """Return the assistant's message."""
    made: dict[str, Any] = {"role": "assistant", "content": reply.text or (None if reply.tool_calls else "")}
    if reply.reasoning:
        made["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        made["tool_calls"] = [make_call(call.id, call.name, call.arguments) for call in reply.tool_calls]
    return made


def delta_of(event: ChatEvent) -> dict[str, Any]:
    """Return what an event adds to the assistant's message."""
    if isinstance(event, TextDelta):
        return {"content": event.text}
    if isinstance(event, ReasoningDelta):
        return {"reasoning_content": event.text}
    if isinstance(event, ToolCallStart):
        return {"tool_calls": [{"index": event.index, **make_call(event.id, event.name, "")}]}
    if isinstance(event, ToolCallDelta):
        return {"tool_calls": [{"index": event.index, "function": {"arguments": event.arguments}}]}
    return {}


def create_chat_completion() -> ResponseReturnValue:
    """Answer a chat request."""
    parsed = parse_chat_request(json_body())
    service = chat_service()
    replies = start_replies(lambda: service.start_chats(parsed.chat, parsed.num_choices))
    logprobs = LogprobWriter(encoder=service.require_encoder(), wanted=parsed.chat.top_logprobs is not None)
    completion = Completion(model=service.facts.model_name, num_choices=parsed.num_choices, logprobs=logprobs)
    if parsed.stream:
        return event_stream(replies, _pieces(replies, completion, parsed))
    return jsonify(completion.whole(replies.collect()))


def _pieces(replies: Replies, completion: Completion, parsed: ParsedRequest) -> Iterator[bytes]:
    for index in range(parsed.num_choices):
        yield sse(completion.chunk(index, {"role": "assistant", "content": ""}))
    usages: dict[int, Usage] = {}
    thoughts = [""] * parsed.num_choices
    calling: set[int] = set()
    for index, event in replies:
        if isinstance(event, Failed):
            yield sse(api_error(event.error).document())
            return
        reason, tokens = None, event.logprobs if isinstance(event, TextDelta | ReasoningDelta) else ()
        if isinstance(event, ToolCallStart):
            calling.add(index)
        elif isinstance(event, ReasoningDelta):
            thoughts[index] += event.text
        elif isinstance(event, Finished):
            usages[index] = event.usage
            reason = finish_reason(event, calls_tools=index in calling)
        yield sse(completion.chunk(index, delta_of(event), reason, tokens))
    if len(usages) < parsed.num_choices:
        return
    if parsed.include_usage:
        yield sse(completion.usage_chunk([usages[index] for index in sorted(usages)], thoughts))
    yield b"data: [DONE]\n\n"
