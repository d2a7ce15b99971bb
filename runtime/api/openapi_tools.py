"""JSON schemas of tools and reasoning in bodies, made from the same tables that requests are checked with."""

from __future__ import annotations

from typing import Any

from runtime.api.chat_request import ROLES
from runtime.api.message_request import THINKING
from runtime.api.openapi_parts import FLAG, PICTURE, TEXT, Schema, content_options, listed, nullable, record
from runtime.api.response_request import ROLES as INPUT_ROLES
from runtime.api.response_request import TEXT_PARTS
from runtime.api.tool_fields import EFFORTS, MAX_TOOLS, TOOL_NAME

NAME: Schema = {"type": "string", "pattern": f"^{TOOL_NAME.pattern}$"}
WORDS: Schema = {"enum": ["none", "auto", "required", None]}
EFFORT: Schema = {"enum": [*EFFORTS, None]}
OBJECT: Schema = {"type": "object"}


def chat_tool_properties() -> dict[str, Schema]:
    """Describe the fields of a chat request."""
    named = record("type function", type={"const": "function"}, function=record("name", name=NAME))
    tool = record("type function", type={"const": "function"}, function=_function("parameters"))
    return {
        "tools": _tools(tool),
        "tool_choice": {"anyOf": [WORDS, named]},
        "parallel_tool_calls": FLAG,
        "reasoning_effort": EFFORT,
        "enable_thinking": FLAG,
        "chat_template_kwargs": nullable("object", description="variables of the model's chat template"),
    }


def response_tool_properties() -> dict[str, Schema]:
    """Describe the fields of a request for a model response."""
    named = record("type name", type={"const": "function"}, name=NAME)
    return {
        "tools": _tools(_function("parameters", type={"const": "function"})),
        "tool_choice": {"anyOf": [WORDS, named]},
        "parallel_tool_calls": FLAG,
        "reasoning": nullable("object", properties={"effort": EFFORT}),
    }


def message_tool_properties() -> dict[str, Schema]:
    """Describe the fields of a request of Anthropic's API."""
    choices = {"type": {"enum": ["auto", "any", "none"]}, "disable_parallel_tool_use": FLAG}
    return {
        "tools": _tools(_function("input_schema", type={"enum": ["custom", None]})),
        "tool_choice": {
            "anyOf": [
                record("type", **choices),
                record("type name", **{**choices, "type": {"const": "tool"}}, name=NAME),
                {"type": "null"},
            ]
        },
        "thinking": nullable("object", properties={"type": {"enum": list(THINKING)}}),
    }


def _tools(tool: Schema) -> Schema:
    return {"type": ["array", "null"], "items": tool, "maxItems": MAX_TOOLS}


def _function(schema_field: str, **more: Schema) -> Schema:
    required = "name type" if more.get("type", {}).get("const") else "name"
    fields = {"name": NAME, "description": nullable("string"), schema_field: nullable("object")}
    return record(required, **more, **fields)


def call_schema() -> Schema:
    """Describe an entry of ``tool_calls``."""
    function = record("name arguments", name=TEXT, arguments={**TEXT, "description": "the JSON text of an object"})
    return record("function", id=nullable("string"), type={"const": "function"}, function=function)


def chat_message_schema() -> Schema:
    """Describe a message of a chat request."""
    content = {"anyOf": content_options(("text",))}
    optional = {"anyOf": [*content_options(("text",)), {"type": "null"}]}
    calls = {"type": ["array", "null"], "items": call_schema()}
    plain = sorted(ROLES - {"assistant", "tool", "user"})
    url = {"anyOf": [PICTURE, record("url", url=PICTURE)]}
    seen = {"anyOf": content_options(("text",), record("type image_url", type={"const": "image_url"}, image_url=url))}
    return {
        "anyOf": [
            record("role content", role={"const": "user"}, content=seen),
            record("role content", role={"enum": plain}, content=content),
            record("role content tool_call_id", role={"const": "tool"}, content=content, tool_call_id=TEXT),
            record(
                "role",
                role={"const": "assistant"},
                content=optional,
                reasoning_content=nullable("string"),
                tool_calls=calls,
            ),
        ]
    }


def input_item_schema() -> Schema:
    """Describe an item of ``input``."""
    message = record(
        "role content",
        type={"const": "message"},
        role={"enum": [role for role in INPUT_ROLES if role != "user"]},
        content={"anyOf": content_options(TEXT_PARTS)},
    )
    image = record("type image_url", type={"const": "input_image"}, image_url=PICTURE)
    asked = {"anyOf": content_options(TEXT_PARTS, image)}
    question = record("role content", type={"const": "message"}, role={"const": "user"}, content=asked)
    output = {"anyOf": content_options(TEXT_PARTS)}
    return {
        "anyOf": [
            message,
            question,
            record(
                "type call_id name arguments", type={"const": "function_call"}, call_id=TEXT, name=TEXT, arguments=TEXT
            ),
            record("type call_id output", type={"const": "function_call_output"}, call_id=TEXT, output=output),
            record("type", type={"const": "reasoning"}, content=_reasoning_content()),
        ]
    }


def _reasoning_content() -> Schema:
    part = record("type text", type={"const": "reasoning_text"}, text=TEXT)
    return {"type": ["array", "null"], "items": part}


def message_turn_schema() -> Schema:
    """Describe a message of Anthropic's API."""
    text = record("type text", type={"const": "text"}, text=TEXT)
    result: dict[str, Any] = {"anyOf": [*content_options(("text",)), {"type": "null"}]}
    tool_result = record("type tool_use_id", type={"const": "tool_result"}, tool_use_id=TEXT, content=result)
    thinking = record("type thinking", type={"const": "thinking"}, thinking=TEXT)
    tool_use = record("type id name input", type={"const": "tool_use"}, id=TEXT, name=TEXT, input=OBJECT)
    inline = record("type data", type={"const": "base64"}, data=TEXT)
    source = {"anyOf": [inline, record("type url", type={"const": "url"}, url=PICTURE)]}
    image = record("type source", type={"const": "image"}, source=source)
    user = {"anyOf": [TEXT, listed({"anyOf": [text, image, tool_result]})]}
    assistant = {"anyOf": [TEXT, listed({"anyOf": [text, thinking, tool_use]})]}
    return {
        "anyOf": [
            record("role content", role={"const": "user"}, content=user),
            record("role content", role={"const": "assistant"}, content=assistant),
        ]
    }
