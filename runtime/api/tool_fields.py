"""Reads what requests say about tools and reasoning, in the words of each of the three chat APIs.

All of them end in ``ChatOptions``, whose tools have the shape of OpenAI's chat API.
"""

from __future__ import annotations

import json
import re
from typing import Any

from runtime.api.errors import ApiError
from runtime.api.fields import choice, flag, mapping, text, wrong
from runtime.chat_template import ChatOptions, Tool

MAX_TOOLS = 128
TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
RESERVED_VARIABLES = frozenset({"messages", "tools", "bos_token", "eos_token", "add_generation_prompt"})


def chat_tool_options(document: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``ChatOptions`` from a chat request; ``tools``, ``tool_choice`` and so on."""
    tools = _tools(document, _chat_tool)
    wanted = document.get("tool_choice")
    if isinstance(wanted, dict):
        function = wanted.get("function")
        if wanted.get("type") != "function":
            raise _unknown_choice(wanted)
        if not isinstance(function, dict):
            raise wrong("tool_choice.function", "an object", function)
        return _options(document, tools, "required", function.get("name"), "tool_choice.function.name")
    return _options(document, tools, _choice_word(document))


def response_tool_options(document: dict[str, Any]) -> dict[str, Any]:
    """Return the same from a request for a model response, which nests less."""
    tools = _tools(document, _response_tool)
    wanted = document.get("tool_choice")
    if isinstance(wanted, dict):
        if wanted.get("type") != "function":
            raise _unknown_choice(wanted)
        return _options(document, tools, "required", wanted.get("name"), "tool_choice.name")
    return _options(document, tools, _choice_word(document))


def message_tool_options(document: dict[str, Any]) -> dict[str, Any]:
    """Return the same from a request of Anthropic's API."""
    tools = _tools(document, _message_tool)
    wanted = mapping(document, "tool_choice") or {}
    if wanted.get("type") is None and document.get("tool_choice") is not None:
        raise wrong("tool_choice.type", "auto, any, tool or none", None)
    kind = choice(wanted, "type", ("auto", "any", "tool", "none"), "tool_choice.") or "auto"
    parallel = {"parallel_tool_calls": False} if flag(wanted, "disable_parallel_tool_use", "tool_choice.") else {}
    if kind == "tool":
        return _options(parallel, tools, "required", wanted.get("name"), "tool_choice.name")
    return _options(parallel, tools, {"any": "required"}.get(kind, kind))


def reasoning_options(document: dict[str, Any], effort: str | None) -> dict[str, Any]:
    """Return the arguments of ``ChatOptions`` that switch reasoning and set variables of the template."""
    variables = dict(mapping(document, "chat_template_kwargs") or {})
    for name in sorted(RESERVED_VARIABLES & variables.keys()):
        where = f"chat_template_kwargs.{name}"
        raise ApiError(400, f"{where}: this variable is the program's own; remove it", param=where)
    thinks = variables.get("enable_thinking")
    if thinks is not None and not isinstance(thinks, bool):
        raise wrong("chat_template_kwargs.enable_thinking", "true or false", thinks)
    if document.get("enable_thinking") is not None:
        thinks = flag(document, "enable_thinking")
    if effort == "none":
        thinks = False
    elif effort is not None:
        variables["reasoning_effort"] = effort
    variables.pop("enable_thinking", None)
    return {"enable_thinking": thinks is not False, "variables": variables}


def chat_effort(document: dict[str, Any]) -> str | None:
    """Read ``reasoning_effort``."""
    return choice(document, "reasoning_effort", EFFORTS)


def read_arguments(value: Any, where: str) -> str:
    """Check the arguments of an earlier call, the JSON text of an object, and return them; none at all mean ``{}``."""
    if not isinstance(value, str):
        raise wrong(where, "a string", value)
    try:
        parsed = json.loads(value or "{}")
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"{where}: expected JSON, which it is not: {error}", param=where) from error
    if not isinstance(parsed, dict):
        raise ApiError(400, f"{where}: expected the JSON text of an object, found {value!r:.60}", param=where)
    return value or "{}"


def _unknown_choice(wanted: dict[str, Any]) -> ApiError:
    found = wanted.get("type")
    return ApiError(400, f"tool_choice.type: expected function, found {found!r:.60}", param="tool_choice.type")


def _choice_word(document: dict[str, Any]) -> str:
    return choice(document, "tool_choice", ("none", "auto", "required")) or "auto"


def _options(
    document: dict[str, Any], tools: tuple[Tool, ...], kind: str, only: Any = None, where: str = "tool_choice"
) -> dict[str, Any]:
    names = [tool["function"]["name"] for tool in tools]
    if kind == "required" and not tools:
        raise ApiError(400, "tool_choice: a call is required, but tools lists none", param="tool_choice")
    if where != "tool_choice" and only not in names:
        raise ApiError(400, f"{where}: expected one of {', '.join(names)}, found {only!r:.60}", param=where)
    parallel = flag(document, "parallel_tool_calls") if document.get("parallel_tool_calls") is not None else None
    return {"tools": tools, "tool_choice": kind, "only_tool": only, "parallel_tool_calls": parallel}


def _tools(document: dict[str, Any], read: Any) -> tuple[Tool, ...]:
    tools = document.get("tools")
    if tools is None:
        return ()
    if not isinstance(tools, list):
        raise wrong("tools", "a list", tools)
    if len(tools) > MAX_TOOLS:
        raise ApiError(400, f"tools: expected at most {MAX_TOOLS}, found {len(tools)}", param="tools")
    found: dict[str, Tool] = {}
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise wrong(where, "an object", tool)
        checked = read(tool, where)
        name = checked["function"]["name"]
        if name in found:
            raise ApiError(400, f"{where}: there is another tool named {name}", param=where)
        found[name] = checked
    return tuple(found.values())


def _chat_tool(tool: dict[str, Any], where: str) -> Tool:
    if tool.get("type") != "function":
        raise _not_a_function(tool, where)
    function = tool.get("function")
    if not isinstance(function, dict):
        raise wrong(f"{where}.function", "an object", function)
    return _function(function, "parameters", f"{where}.function")


def _response_tool(tool: dict[str, Any], where: str) -> Tool:
    if tool.get("type") != "function":
        raise _not_a_function(tool, where)
    return _function(tool, "parameters", where)


def _message_tool(tool: dict[str, Any], where: str) -> Tool:
    if tool.get("type") not in (None, "custom"):
        raise _not_a_function(tool, where, "custom")
    return _function(tool, "input_schema", where)


def _not_a_function(tool: dict[str, Any], where: str, expected: str = "function") -> ApiError:
    found = tool.get("type")
    return ApiError(400, f"{where}.type: expected {expected}, found {found!r:.60}", param=f"{where}.type")


def _function(document: dict[str, Any], schema_field: str, where: str) -> Tool:
    name = document.get("name")
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        expected = "expected 1 to 64 letters, digits, '_', '-' or '.'"
        raise ApiError(400, f"{where}.name: {expected}, found {name!r:.60}", param=f"{where}.name")
    description, schema = text(document, "description") or "", mapping(document, schema_field) or {}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def make_options(*parts: dict[str, Any]) -> ChatOptions:
    """Put together what the readers of this module returned."""
    return ChatOptions(**{name: value for part in parts for name, value in part.items()})
