"""Checks the body of a request of Anthropic's API and says it in the messages that chat templates know.

Source: Anthropic API reference, "Create a Message", "Tool use" and "Extended thinking". How much a model may think
(``budget_tokens``) is up to the model.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runtime.api.chat_request import join_parts, make_call, message_content, with_tool_names
from runtime.api.errors import ApiError
from runtime.api.fields import choice, mapping, max_tokens, stop_strings, text, wrong
from runtime.api.generation_fields import adapter_fields, sampling_fields
from runtime.api.tool_fields import make_options, message_tool_options, reasoning_options
from runtime.chat_service import ChatRequest
from runtime.pictures import picture_from_base64, picture_from_url

if TYPE_CHECKING:
    from runtime.chat_template import Message

THINKING = ("enabled", "adaptive", "disabled")
BLOCKS = {"user": ("text", "image", "tool_result"), "assistant": ("text", "thinking", "redacted_thinking", "tool_use")}


def parse_message_request(document: dict[str, Any], *, needs_limit: bool = True) -> ChatRequest:
    """Check ``document``. Raises ApiError 400 that names the field, what was expected and what was found."""
    text(document, "model")
    limit = max_tokens(document, "max_tokens")
    if limit is None and needs_limit:
        raise ApiError(400, "max_tokens: expected a whole number of at least 1", param="max_tokens")
    thinking = choice(mapping(document, "thinking") or {}, "type", THINKING, "thinking.")
    messages = _messages(document.get("messages"))
    system = document.get("system")
    if system is not None and (content := join_parts(system, "system")):
        messages.insert(0, {"role": "system", "content": content})
    reasoning = reasoning_options(document, "none" if thinking == "disabled" else None)
    return ChatRequest(
        messages=with_tool_names(messages),
        template=make_options(message_tool_options(document), reasoning),
        sampling=sampling_fields(document),
        adapters=adapter_fields(document),
        max_tokens=limit,
        stop=stop_strings(document, "stop_sequences", may_be_single=False),
    )


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, list):
        raise wrong("messages", "a list", value)
    if not value:
        raise ApiError(400, "messages: expected at least one message", param="messages")
    return [made for index, message in enumerate(value) for made in _message(message, f"messages[{index}]")]


def _message(message: Any, where: str) -> list[Message]:
    """Return what one message becomes: results of tools are messages of their own, before the text beside them."""
    if not isinstance(message, dict):
        raise wrong(where, "an object", message)
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant"):
        raise ApiError(400, f"{where}.role: expected user or assistant, found {role!r:.60}", param=f"{where}.role")
    if not isinstance(content, list):
        return [{"role": role, "content": join_parts(content, f"{where}.content")}]
    blocks = [_block(block, f"{where}.content[{index}]", role) for index, block in enumerate(content)]
    texts = "".join(block["text"] for block in blocks if block["type"] == "text")
    if role == "assistant":
        return [_assistant(texts, blocks)]
    results = [block["message"] for block in blocks if block["type"] == "tool_result"]
    if any(block["type"] == "image" for block in blocks):
        parts = [block for block in content if block["type"] in ("text", "image")]
        return [*results, {"role": "user", "content": message_content(parts, f"{where}.content", _image)}]
    return [*results, {"role": "user", "content": texts}] if texts or not results else results


def _assistant(texts: str, blocks: list[dict[str, Any]]) -> Message:
    made: Message = {"role": "assistant", "content": texts}
    if thoughts := "".join(block["thinking"] for block in blocks if block["type"] == "thinking"):
        made["reasoning_content"] = thoughts
    if calls := [block["call"] for block in blocks if block["type"] == "tool_use"]:
        made["tool_calls"] = calls
    return made


def _block(block: Any, where: str, role: str) -> dict[str, Any]:
    if not isinstance(block, dict):
        raise wrong(where, "an object", block)
    kind, expected = block.get("type"), ", ".join(BLOCKS[role])
    if kind not in BLOCKS[role]:
        raise ApiError(400, f"{where}.type: expected one of {expected}, found {kind!r:.60}", param=f"{where}.type")
    if kind in ("text", "thinking"):
        return {"type": kind, kind: _string(block, kind, where)}
    if kind == "image":
        return {"type": kind}
    if kind == "tool_use":
        arguments = block.get("input")
        if not isinstance(arguments, dict):
            raise wrong(f"{where}.input", "an object", arguments)
        call = make_call(
            _string(block, "id", where), _string(block, "name", where), json.dumps(arguments, ensure_ascii=False)
        )
        return {"type": kind, "call": call}
    if kind == "tool_result":
        content = block.get("content")
        result = "" if content is None else join_parts(content, f"{where}.content")
        identity = _string(block, "tool_use_id", where)
        return {"type": kind, "message": {"role": "tool", "content": result, "tool_call_id": identity}}
    return {"type": kind}


def _image(block: dict[str, Any], place: str) -> dict[str, Any] | None:
    """Read a block ``{"type": "image", "source": {"type": "base64", "data": ...}}``.

    Of the other sources ``url`` may hold a data URL, and a ``file`` would have had to be sent before.
    """
    if block.get("type") != "image":
        return None
    source = block.get("source")
    if not isinstance(source, dict):
        raise wrong(f"{place}.source", "an object", source)
    kind, where = source.get("type"), f"{place}.source"
    if kind == "base64":
        return picture_from_base64(_string(source, "data", where))
    if kind == "url":
        return picture_from_url(_string(source, "url", where))
    if kind == "file":
        raise ApiError(400, f"{where}.type: file: no files are kept here; send the picture as base64", param=where)
    raise ApiError(400, f"{where}.type: expected base64 or url, found {kind!r:.60}", param=f"{where}.type")


def _string(block: dict[str, Any], name: str, where: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        raise wrong(f"{where}.{name}", "a string", value)
    return value
