"""Checks the body of a request for a model response and says it in the messages that chat templates know.

Source: OpenAI API reference, "Create a model response". Calls, their results and reasoning are items beside messages
there; here they become parts of the assistant's messages, or messages of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.api.chat_request import join_parts, make_call, message_content, with_tool_names
from runtime.api.errors import ApiError
from runtime.api.fields import choice, flag, mapping, max_tokens, text, wrong
from runtime.api.generation_fields import adapter_fields, output_format, sampling_fields
from runtime.api.logprobs import response_top_logprobs
from runtime.api.tool_fields import EFFORTS, make_options, read_arguments, reasoning_options, response_tool_options
from runtime.chat_service import ChatRequest
from runtime.pictures import picture_from_url

if TYPE_CHECKING:
    from runtime.chat_template import Message

ROLES = ("system", "developer", "user", "assistant")
TEXT_PARTS = ("input_text", "output_text", "text")
REFUSED = ("previous_response_id", "conversation", "prompt")
FORMAT_FIELD = "text.format"


def parse_response_request(document: dict[str, Any]) -> ChatRequest:
    """Check ``document``. Raises ApiError 400 that names the field, what was expected and what was found."""
    for name in REFUSED:
        if document.get(name) is not None:
            raise ApiError(400, f"{name}: nothing is kept between requests; send the whole input", param=name)
    if flag(document, "background"):
        raise ApiError(
            400, "background: the reply can't be fetched later; send the request without", param="background"
        )
    text(document, "model")
    mapping(document, "metadata")
    instructions = text(document, "instructions")
    messages = _input(document.get("input"))
    if instructions:
        messages.insert(0, {"role": "system", "content": instructions})
    wanted = _format(document)
    grammar = output_format(wanted, FORMAT_FIELD)
    effort = choice(mapping(document, "reasoning") or {}, "effort", EFFORTS, "reasoning.")
    schema = {"json_schema": (wanted or {}).get("schema") or {"type": "object"}} if grammar is not None else {}
    template = make_options(response_tool_options(document), reasoning_options(document, effort), schema)
    if template.may_call and grammar is not None:
        raise ApiError(400, f"{FORMAT_FIELD}: can't be combined with tools that may be called", param=FORMAT_FIELD)
    return ChatRequest(
        messages=with_tool_names(messages),
        template=template,
        sampling=sampling_fields(document),
        adapters=adapter_fields(document),
        max_tokens=max_tokens(document, "max_output_tokens"),
        grammar=grammar,
        grammar_field=FORMAT_FIELD,
        top_logprobs=response_top_logprobs(document),
    )


def _format(document: dict[str, Any]) -> dict[str, Any] | None:
    wanted = (mapping(document, "text") or {}).get("format")
    if wanted is not None and not isinstance(wanted, dict):
        raise wrong(FORMAT_FIELD, "an object", wanted)
    return wanted


def _input(value: Any) -> list[Message]:
    """Read ``input``: a text, or a list of items."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise wrong("input", "a string or a list of messages", value)
    if not value:
        raise ApiError(400, "input: expected at least one message", param="input")
    messages: list[Message] = []
    for index, item in enumerate(value):
        _add_item(messages, item, f"input[{index}]")
    return [message for message in messages if not message.pop("is_reasoning", False)]


def _add_item(messages: list[Message], item: Any, where: str) -> None:
    """Add an item; what the assistant thought, said and called in a row is one message."""
    if not isinstance(item, dict):
        raise wrong(where, "an object", item)
    kind = item.get("type", "message")
    if kind == "message":
        message = _message(item, where)
        if message["role"] == "assistant":
            _join_assistant(messages, message)
        else:
            messages.append(message)
    elif kind == "function_call":
        arguments = read_arguments(item.get("arguments"), f"{where}.arguments")
        call = make_call(_string(item, "call_id", where), _string(item, "name", where), arguments)
        _join_assistant(messages, {"role": "assistant", "content": "", "tool_calls": [call]})
    elif kind == "function_call_output":
        output = join_parts(item.get("output"), f"{where}.output", TEXT_PARTS)
        messages.append({"role": "tool", "content": output, "tool_call_id": _string(item, "call_id", where)})
    elif kind == "reasoning":
        thoughts = join_parts(item.get("content") or "", f"{where}.content", ("reasoning_text",))
        messages.append({"role": "assistant", "content": "", "reasoning_content": thoughts, "is_reasoning": True})
    else:
        expected = "message, function_call, function_call_output or reasoning"
        raise ApiError(400, f"{where}.type: expected {expected}, found {kind!r:.60}", param=f"{where}.type")


def _join_assistant(messages: list[Message], message: Message) -> None:
    """Add to the assistant's message before this one; one of reasoning alone counts only with what follows it."""
    last = messages[-1] if messages else None
    if last is None or last["role"] != "assistant" or (message["content"] and last.get("tool_calls")):
        messages.append(message)
        return
    last.pop("is_reasoning", None)
    last["content"] += message["content"]
    if calls := message.get("tool_calls"):
        last["tool_calls"] = [*last.get("tool_calls", ()), *calls]


def _message(item: dict[str, Any], where: str) -> Message:
    role = item.get("role")
    if role not in ROLES:
        expected = ", ".join(ROLES)
        raise ApiError(400, f"{where}.role: expected one of {expected}, found {role!r:.60}", param=f"{where}.role")
    content, place = item.get("content"), f"{where}.content"
    if role == "user":
        return {"role": role, "content": message_content(content, place, _image, TEXT_PARTS)}
    return {"role": role, "content": join_parts(content, place, TEXT_PARTS)}


def _image(part: dict[str, Any], place: str) -> dict[str, Any] | None:
    """Read a part ``{"type": "input_image", "image_url": "data:..."}``."""
    if part.get("type") != "input_image":
        return None
    url = part.get("image_url")
    if not isinstance(url, str):
        raise wrong(f"{place}.image_url", "a data URL", url)
    return picture_from_url(url)


def _string(item: dict[str, Any], name: str, where: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise wrong(f"{where}.{name}", "a string", value)
    return value
