"""Checks the body of a chat request, field by field, before anything is done.

Fields that this program does not know are ignored, as OpenAI-compatible servers do; known ones of the wrong type are
refused by name, and so are features whose silent absence would give a wrong answer.
Source: OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packer.errors import InputError
from runtime.api.errors import ApiError
from runtime.api.fields import flag, integer, mapping, text, wrong
from runtime.api.generation_fields import generation_fields, wanted_schema
from runtime.api.logprobs import chat_top_logprobs
from runtime.api.tool_fields import chat_effort, chat_tool_options, make_options, read_arguments, reasoning_options
from runtime.chat_service import ChatRequest
from runtime.pictures import picture_from_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.chat_template import ChatOptions, Message

MAX_CHOICES = 8
ImageReader = Callable[[dict[str, Any], str], dict[str, Any] | None]
Content = str | list[dict[str, Any]]
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
    text(document, "model")
    _refuse_unsupported(document)
    stream, template = flag(document, "stream"), read_options(document)
    generation = generation_fields(document, "max_completion_tokens", "max_tokens")
    if template.may_call and generation.get("grammar") is not None:
        field = generation["grammar_field"]
        raise ApiError(400, f"{field}: can't be combined with tools that may be called", param=field)
    return ParsedRequest(
        chat=ChatRequest(
            messages=read_messages(document),
            template=template,
            top_logprobs=chat_top_logprobs(document),
            **generation,
        ),
        num_choices=integer(document, "n", 1, MAX_CHOICES) or 1,
        stream=stream,
        include_usage=wants_usage(document) and stream,
    )


def _refuse_unsupported(document: dict[str, Any]) -> None:
    """Refuse what would give another answer than was asked for if it were ignored."""
    for name, nothing in (("functions", []), ("function_call", "none")):
        if document.get(name) not in (None, nothing):
            raise ApiError(400, f"{name}: the older way to give tools; send tools and tool_choice", param=name)
    if document.get("web_search_options") is not None:
        raise ApiError(
            400,
            "web_search_options: this program opens no connections; send the request without",
            param="web_search_options",
        )
    modalities = document.get("modalities")
    if modalities is not None and modalities != ["text"]:
        raise ApiError(400, f'modalities: expected ["text"], found {modalities!r:.60}', param="modalities")


def wants_usage(document: dict[str, Any]) -> bool:
    """Read ``stream_options.include_usage``."""
    return flag(mapping(document, "stream_options") or {}, "include_usage", prefix="stream_options.")


def read_options(document: dict[str, Any]) -> ChatOptions:
    """Read what the request says about tools, reasoning and, for models that reason first, the schema of the answer."""
    reasoning = reasoning_options(document, chat_effort(document))
    return make_options(chat_tool_options(document), reasoning, {"json_schema": wanted_schema(document)})


def read_messages(document: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Read ``messages``: at least one, each with a known role and text."""
    messages = document.get("messages")
    if not isinstance(messages, list):
        raise wrong("messages", "a list", messages)
    if not messages:
        raise ApiError(400, "messages: expected at least one message", param="messages")
    return with_tool_names([_message(message, f"messages[{index}]") for index, message in enumerate(messages)])


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
    place = f"{where}.content"
    checked = {
        "role": role,
        "content": message_content(content, place, image_from_url) if role == "user" else join_parts(content, place),
    }
    if role == "assistant":
        return checked | _assistant_fields(message, where)
    if role == "tool":
        return checked | {"tool_call_id": _required_text(message, "tool_call_id", where)}
    return checked


def _assistant_fields(message: dict[str, Any], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if reasoning := text(message, "reasoning_content"):
        found["reasoning_content"] = reasoning
    calls = message.get("tool_calls")
    if calls is None:
        return found
    if not isinstance(calls, list):
        raise wrong(f"{where}.tool_calls", "a list", calls)
    checked = [_call(call, f"{where}.tool_calls[{index}]") for index, call in enumerate(calls)]
    return found | ({"tool_calls": checked} if checked else {})


def _call(call: Any, where: str) -> dict[str, Any]:
    if not isinstance(call, dict):
        raise wrong(where, "an object", call)
    function = call.get("function")
    if call.get("type", "function") != "function" or not isinstance(function, dict):
        raise wrong(f"{where}.function", "an object, and the type function", function)
    name = _required_text(function, "name", f"{where}.function")
    arguments = read_arguments(function.get("arguments"), f"{where}.function.arguments")
    return make_call(text(call, "id") or "", name, arguments)


def make_call(identity: str, name: str, arguments: str) -> dict[str, Any]:
    """Return an entry of ``tool_calls``."""
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def with_tool_names(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Add to each result of a tool the name that some templates show: that of the call with its id."""
    names = {call["id"]: call["function"]["name"] for one in messages for call in one.get("tool_calls", ())}
    return tuple(
        {**one, "name": names[one["tool_call_id"]]} if one.get("tool_call_id") in names else one for one in messages
    )


def _required_text(document: dict[str, Any], name: str, where: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise wrong(f"{where}.{name}", "a string", value)
    return value


def message_content(content: Any, where: str, read_image: ImageReader, kinds: tuple[str, ...] = ("text",)) -> Content:
    """Read the content of a user's message: joined texts, or with pictures a list of parts that templates know.

    ``read_image`` returns the part for a picture, or ``None`` for a part of another kind; it raises InputError.
    """
    if not isinstance(content, list):
        return join_parts(content, where, kinds)
    parts: list[dict[str, Any]] = []
    for index, part in enumerate(content):
        place = f"{where}[{index}]"
        try:
            image = read_image(part, place) if isinstance(part, dict) else None
        except InputError as error:
            raise ApiError(400, f"{place}: {error}", param=place, code="invalid_image") from error
        if image is not None:
            parts.append(image)
            continue
        text_part = _text_of(part, place, kinds)
        if parts and parts[-1]["type"] == "text":
            parts[-1]["text"] += text_part
        else:
            parts.append({"type": "text", "text": text_part})
    if any(part["type"] != "text" for part in parts):
        return parts
    return "".join(part["text"] for part in parts)


def image_from_url(part: dict[str, Any], place: str) -> dict[str, Any] | None:
    """Read a part ``{"type": "image_url", "image_url": {"url": "data:..."}}``."""
    if part.get("type") != "image_url":
        return None
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise wrong(f"{place}.image_url.url", "a data URL", url)
    return picture_from_url(url)


def join_parts(content: Any, where: str, kinds: tuple[str, ...] = ("text",)) -> str:
    """Join the text parts of a message; ``kinds`` are the part types that hold text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise wrong(where, "a string or a list of parts", content)
    return "".join(_text_of(part, f"{where}[{index}]", kinds) for index, part in enumerate(content))


def _text_of(part: Any, place: str, kinds: tuple[str, ...]) -> str:
    if not isinstance(part, dict):
        raise wrong(place, "an object", part)
    if part.get("type") not in kinds:
        raise ApiError(
            400, f"{place}.type: only text can be read here, found {part.get('type')!r:.60}", param=f"{place}.type"
        )
    found = part.get("text")
    if not isinstance(found, str):
        raise wrong(f"{place}.text", "a string", found)
    return found
