"""Checks the body of a chat request, field by field, before anything is done.

Fields that this program does not know are ignored, as OpenAI-compatible servers do; known ones of the wrong type are
refused by name, and so are features whose silent absence would give a wrong answer (tools, JSON output, several
choices). Source: OpenAI API reference, "Create chat completion"; ``top_k``, ``min_p`` and ``repeat_penalty`` as in
llama.cpp's server.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from runtime.api.errors import ApiError
from runtime.chat_service import ChatRequest

MAX_STOP_STRINGS = 16
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
NUMBERS = {
    "temperature": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "repeat_penalty": (0.01, 100.0),
}
"""Name to smallest and largest value."""


@dataclass(frozen=True, kw_only=True)
class ParsedRequest:
    """A checked request: what to generate and how to answer."""

    chat: ChatRequest
    stream: bool
    include_usage: bool


def parse_chat_request(document: dict[str, Any]) -> ParsedRequest:
    """Check ``document``. Raises ApiError 400 that names the field, what was expected and what was found."""
    _refuse_unsupported(document)
    _text(document, "model")
    stream = _flag(document, "stream")
    options = document.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise _wrong("stream_options", "an object", options)
    sampling: dict[str, Any] = {}
    for name, (smallest, largest) in NUMBERS.items():
        value = _number(document, name, smallest, largest)
        if value is not None:
            sampling[name] = value
    for name, smallest_integer in (("top_k", 0), ("seed", None)):
        integer = _integer(document, name, smallest_integer)
        if integer is not None:
            sampling[name] = integer
    return ParsedRequest(
        chat=ChatRequest(
            messages=_messages(document),
            sampling=sampling,
            max_tokens=_max_tokens(document),
            stop=_stop(document),
        ),
        stream=stream,
        include_usage=stream and _flag(options or {}, "include_usage", prefix="stream_options."),
    )


def _refuse_unsupported(document: dict[str, Any]) -> None:
    count = _integer(document, "n", 1)
    if count not in {None, 1}:
        raise ApiError(400, f"n: this program gives one choice per request, found {count}", param="n")
    if document.get("tools") and document.get("tool_choice") != "none":
        raise ApiError(400, "tools: this program can't call tools yet; send the request without", param="tools")
    if _flag(document, "logprobs"):
        raise ApiError(400, "logprobs: not available from this program", param="logprobs")
    output = document.get("response_format")
    kind = output.get("type") if isinstance(output, dict) else output
    if kind is not None and kind != "text":
        raise ApiError(
            400, f"response_format: this program gives plain text only, found {kind!r}", param="response_format"
        )


def _messages(document: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    messages = document.get("messages")
    if not isinstance(messages, list):
        raise _wrong("messages", "a list", messages)
    if not messages:
        raise ApiError(400, "messages: expected at least one message", param="messages")
    return tuple(_message(message, f"messages[{index}]") for index, message in enumerate(messages))


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise _wrong(where, "an object", message)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        expected = "one of " + ", ".join(sorted(ROLES))
        raise ApiError(400, f"{where}.role: expected {expected}, found {role!r}", param=f"{where}.role")
    content = message.get("content")
    if content is None and role == "assistant":
        content = ""
    return {"role": role, "content": _content(content, f"{where}.content")}


def _content(content: Any, where: str) -> str:
    """Join the text parts of a message."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _wrong(where, "a string or a list of parts", content)
    texts = []
    for index, part in enumerate(content):
        place = f"{where}[{index}]"
        if not isinstance(part, dict):
            raise _wrong(place, "an object", part)
        if part.get("type") != "text":
            raise ApiError(
                400, f"{place}.type: this model reads text only, found {part.get('type')!r}", param=f"{place}.type"
            )
        if not isinstance(part.get("text"), str):
            raise _wrong(f"{place}.text", "a string", part.get("text"))
        texts.append(part["text"])
    return "".join(texts)


def _max_tokens(document: dict[str, Any]) -> int | None:
    """Read ``max_completion_tokens`` or the older ``max_tokens``; -1 means no limit, as in llama.cpp's server."""
    for name in ("max_completion_tokens", "max_tokens"):
        value = _integer(document, name, -1)
        if value == 0:
            raise ApiError(400, f"{name}: expected at least 1, found 0", param=name)
        if value is not None and value > 0:
            return value
    return None


def _stop(document: dict[str, Any]) -> tuple[str, ...]:
    stop = document.get("stop")
    if stop is None:
        return ()
    strings = [stop] if isinstance(stop, str) else stop
    if not isinstance(strings, list) or not all(isinstance(text, str) for text in strings):
        raise _wrong("stop", "a string or a list of strings", stop)
    if len(strings) > MAX_STOP_STRINGS:
        raise ApiError(400, f"stop: expected at most {MAX_STOP_STRINGS} strings, found {len(strings)}", param="stop")
    if not all(strings):
        raise ApiError(400, "stop: an empty string can't be waited for", param="stop")
    return tuple(strings)


def _number(document: dict[str, Any], name: str, smallest: float, largest: float) -> float | None:
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(name, "a number", value)
    if not smallest <= value <= largest:
        raise ApiError(400, f"{name}: expected {smallest:g} to {largest:g}, found {value:g}", param=name)
    return float(value)


def _integer(document: dict[str, Any], name: str, smallest: int | None) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if type(value) is not int:
        raise _wrong(name, "a whole number", value)
    if smallest is not None and value < smallest:
        raise ApiError(400, f"{name}: expected at least {smallest}, found {value}", param=name)
    if abs(value) >= 1 << 63 or (name in {"top_k", "n"} and value >= 1 << 31):
        raise ApiError(400, f"{name}: {value} is too large", param=name)
    return value


def _flag(document: dict[str, Any], name: str, prefix: str = "") -> bool:
    value = document.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise _wrong(prefix + name, "true or false", value)
    return value


def _text(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(name, "a string", value)
    return value


def _wrong(name: str, expected: str, found: Any) -> ApiError:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "nothing"}
    kind = kinds.get(type(found), f"{found!r:.60}")
    return ApiError(400, f"{name}: expected {expected}, found {kind}", param=name)
