"""Checks the body of a chat request, field by field, before anything is done.

Fields that this program does not know are ignored, as OpenAI-compatible servers do; known ones of the wrong type are
refused by name, and so are features whose silent absence would give a wrong answer (tools).
Source: OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runtime.api.errors import ApiError
from runtime.api.fields import flag, integer, mapping, text, wrong
from runtime.api.generation_fields import generation_fields
from runtime.api.logprobs import chat_top_logprobs
from runtime.chat_service import ChatRequest

MAX_CHOICES = 8
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


@dataclass(frozen=True, kw_only=True)
class ParsedRequest:
    """A checked request: what to generate, how many times, and how to answer."""

    chat: ChatRequest
    num_choices: int
    stream: bool
    include_usage: bool


def parse_chat_request(document: dict[str, Any]) -> ParsedRequest:
    """Check ``document``. Raises ApiError 400 that names the field, what was expected and what was found."""
    refuse_unsupported(document)
    text(document, "model")
    stream = flag(document, "stream")
    return ParsedRequest(
        chat=ChatRequest(
            messages=read_messages(document),
            top_logprobs=chat_top_logprobs(document),
            **generation_fields(document, "max_completion_tokens", "max_tokens"),
        ),
        num_choices=integer(document, "n", 1, MAX_CHOICES) or 1,
        stream=stream,
        include_usage=wants_usage(document) and stream,
    )


def wants_usage(document: dict[str, Any]) -> bool:
    """Read ``stream_options.include_usage``."""
    return flag(mapping(document, "stream_options") or {}, "include_usage", prefix="stream_options.")


def refuse_unsupported(document: dict[str, Any]) -> None:
    """Refuse what the answer would lack."""
    if document.get("tools") and document.get("tool_choice") != "none":
        raise ApiError(400, "tools: this program can't call tools yet; send the request without", param="tools")


def read_messages(document: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Read ``messages``: at least one, each with a known role and text."""
    messages = document.get("messages")
    if not isinstance(messages, list):
        raise wrong("messages", "a list", messages)
    if not messages:
        raise ApiError(400, "messages: expected at least one message", param="messages")
    return tuple(_message(message, f"messages[{index}]") for index, message in enumerate(messages))


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise wrong(where, "an object", message)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        expected = "one of " + ", ".join(sorted(ROLES))
        raise ApiError(400, f"{where}.role: expected {expected}, found {role!r:.60}", param=f"{where}.role")
    content = message.get("content")
    if content is None and role == "assistant":
        content = ""
    return {"role": role, "content": join_parts(content, f"{where}.content")}


def join_parts(content: Any, where: str, kinds: tuple[str, ...] = ("text",)) -> str:
    """Join the text parts of a message; ``kinds`` are the part types that hold text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise wrong(where, "a string or a list of parts", content)
    texts = []
    for index, part in enumerate(content):
        place = f"{where}[{index}]"
        if not isinstance(part, dict):
            raise wrong(place, "an object", part)
        if part.get("type") not in kinds:
            raise ApiError(
                400, f"{place}.type: this model reads text only, found {part.get('type')!r:.60}", param=f"{place}.type"
            )
        if not isinstance(part.get("text"), str):
            raise wrong(f"{place}.text", "a string", part.get("text"))
        texts.append(part["text"])
    return "".join(texts)
