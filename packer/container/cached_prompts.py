"""The tables ``[[prompt_cache]]`` of the settings: prompts that are read once, when the file is made.

Each has a ``name`` and is either a ``text``, continued as it stands, or the beginning of a chat: ``system_prompt``
(that of the file unless given), ``messages`` with ``role`` and ``content``, and ``tools``, the JSON of OpenAI's field.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "prompt_cache"
STRINGS = ("name", "system_prompt", "text", "tools")
ROLES = ("system", "developer", "user", "assistant")


@dataclass(frozen=True, kw_only=True)
class CachedPrompt:
    """One prompt to read beforehand; ``messages`` are pairs of role and content, ``None`` means not given."""

    name: str
    system_prompt: str | None = None
    messages: tuple[tuple[str, str], ...] = ()
    tools: str | None = None
    text: str | None = None


def problems(tables: Any) -> Iterator[str]:
    """Say what is wrong with the value of ``prompt_cache``, with the path of each key."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        yield f"{KEY}: expected tables, [[{KEY}]], found {type(tables).__name__}"
        return
    for number, table in enumerate(tables, start=1):
        yield from (f"{KEY} {number}: {problem}" for problem in _table_problems(table))


def _table_problems(table: dict[str, Any]) -> Iterator[str]:
    for name, value in table.items():
        if name not in (*STRINGS, "messages"):
            yield f"{name!a} is no known key; known are {', '.join((*STRINGS, 'messages'))}"
        elif name in STRINGS and not isinstance(value, str):
            yield f"{name}: expected a string, found {type(value).__name__}"
    if not isinstance(table.get("name"), str) or not table["name"].strip():
        yield "name: expected a string that says what the prompt is"
    if "text" in table and len(table.keys() - {"name", "text"}) > 0:
        yield "text stands alone: it is continued as it is, without a chat template"
    if not table.keys() & {"text", "system_prompt", "messages", "tools"}:
        yield "expected text, system_prompt, messages or tools"
    yield from _message_problems(table.get("messages", []))
    if isinstance(table.get("tools"), str) and not _is_list_of_tables(table["tools"]):
        yield "tools: expected JSON, a list of tools as in a request to /v1/chat/completions"


def _message_problems(messages: Any) -> Iterator[str]:
    if not isinstance(messages, list):
        yield f"messages: expected a list of tables, found {type(messages).__name__}"
        return
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            yield f"messages {number}: expected role and content"
        elif message["role"] not in ROLES or not isinstance(message["content"], str):
            yield f"messages {number}: expected a role of {', '.join(ROLES)} and a string as content"


def _is_list_of_tables(text: str) -> bool:
    try:
        tools = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)


def parse(tables: list[dict[str, Any]]) -> tuple[CachedPrompt, ...]:
    """Build the prompts of tables that have no problems."""
    return tuple(
        CachedPrompt(
            **{name: table[name] for name in STRINGS if name in table},
            messages=tuple((message["role"], message["content"]) for message in table.get("messages", [])),
        )
        for table in tables
    )


def dump(prompts: tuple[CachedPrompt, ...], quoted: Any) -> Iterator[str]:
    """Write the tables as lines of TOML; ``quoted`` writes a string."""
    for prompt in prompts:
        yield ""
        yield f"[[{KEY}]]"
        for name in STRINGS:
            if getattr(prompt, name) is not None:
                yield f"{name} = {quoted(getattr(prompt, name))}"
        if prompt.messages:
            pairs = [f"{{ role = {quoted(role)}, content = {quoted(text)} }}" for role, text in prompt.messages]
            yield f"messages = [{', '.join(pairs)}]"
