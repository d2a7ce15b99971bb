"""Tools for models whose template knows none: described in the system message, called in the notation of Hermes.

The model writes ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``; earlier calls and results stand in the
conversation as text. Grammar and parser come from llama.cpp, for the template that is written here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

INSTRUCTIONS = (
    "You can call functions. Their signatures are:\n<tools>\n{tools}\n</tools>\n\n"
    "To call one, answer with its name and arguments as JSON between tags, and nothing else:\n"
    '<tool_call>\n{{"name": "function-name", "arguments": {{...}}}}\n</tool_call>'
)
TEMPLATE = """\
{%- if tools %}{{- '<tools>' + (tools | tojson) + '</tools>\\n' }}{%- endif %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '[assistant]\\n' }}
REASONING
{{- message.content or '' }}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- (call.function.arguments if call.function.arguments is string else call.function.arguments | tojson) }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '[end]\\n' }}
{%- else %}
{{- '[' + message.role + ']\\n' + (message.content or '') + '[end]\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '[assistant]\\nOPEN' }}{%- endif %}
"""
REASONING = (
    "{%- if message.reasoning_content %}{{- 'START\\n' + message.reasoning_content + '\\nEND\\n\\n' }}{%- endif %}"
)


def fallback_template(*, reasoning_start: str, reasoning_end: str, begins_in_reasoning: bool) -> str:
    """Return a template with tools for a model that reasons between these marks, empty for one that does not."""
    reasoning = ""
    if reasoning_start:
        reasoning = REASONING.replace("START", _quoted(reasoning_start)).replace("END", _quoted(reasoning_end))
    opened = _quoted(reasoning_start) + "\\n" if begins_in_reasoning else ""
    return TEMPLATE.replace("REASONING", reasoning).replace("OPEN", opened)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")


def describe_tools(messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put ``tools`` into the system message, and calls and results into the texts of the conversation."""
    described: list[dict[str, Any]] = []
    for message in messages:
        _append(described, _as_text(message))
    if tools:
        listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        instructions = INSTRUCTIONS.format(tools=listed)
        if described and described[0]["role"] == "system":
            described[0] = {**described[0], "content": f"{described[0]['content']}\n\n{instructions}"}
        else:
            described.insert(0, {"role": "system", "content": instructions})
    return described


def _append(described: list[dict[str, Any]], message: dict[str, Any]) -> None:
    """Add a message; results of one round become one message, since many templates want the roles to alternate."""
    if message["role"] == "tool":
        message = {"role": "user", "content": message["content"]}
        if described and described[-1]["role"] == "user" and isinstance(described[-1]["content"], str):
            message["content"] = f"{described.pop()['content']}\n{message['content']}"
    described.append(message)


def _as_text(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        return {"role": "tool", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    calls = message.get("tool_calls")
    if not calls:
        return message
    texts = [message.get("content") or ""]
    for call in calls:
        name, arguments = json.dumps(call["function"]["name"]), call["function"]["arguments"]
        texts.append(f'<tool_call>\n{{"name": {name}, "arguments": {arguments}}}\n</tool_call>')
    kept = {name: value for name, value in message.items() if name != "tool_calls"}
    return {**kept, "content": "\n".join(text for text in texts if text)}
