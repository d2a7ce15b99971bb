"""Reads conversations of a ChatGPT export: a ``mapping`` of nodes, each with a message or none, and its parent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runtime.history.checks import MAX_NAME_CHARACTERS, MAX_TITLE_CHARACTERS, Fields, read_message, whole_characters
from runtime.history.errors import InvalidError
from runtime.history.records import ChatDraft, MessageDraft, WholeChat

ROLES = ("system", "user", "assistant", "tool")
MAX_NODES = 200_000


def is_conversation(document: Any) -> bool:
    """Tell whether a JSON value is such a conversation."""
    return isinstance(document, dict) and isinstance(document.get("mapping"), dict)


def from_conversation(document: dict[str, Any], where: str) -> WholeChat:
    """Read one conversation; nodes without text are left out and their children moved up. Raises InvalidError."""
    from runtime.history.imports import parents_first

    fields = Fields(document, where)
    mapping = document["mapping"]
    if len(mapping) > MAX_NODES:
        raise InvalidError(fields.path("mapping"), f"expected at most {MAX_NODES:,} nodes, found {len(mapping):,}")
    names = list(mapping)
    numbers = {name: index for index, name in enumerate(names)}
    nodes = [Fields(mapping[name], fields.path(f"mapping[{name!r:.50}]")) for name in names]
    parents = [numbers.get(node.text("parent", MAX_NAME_CHARACTERS) or "") for node in nodes]
    drafts = [_draft(node) for node in nodes]
    nearest: dict[int, int | None] = {}
    kept: list[MessageDraft] = []
    kept_parents: list[int | None] = []
    for index in parents_first(parents, fields.path("mapping")):
        parent, draft = parents[index], drafts[index]
        above = None if parent is None else nearest[parent]
        if draft is None:
            nearest[index] = above
            continue
        nearest[index] = len(kept)
        kept.append(draft)
        kept_parents.append(above)
    current = numbers.get(fields.text("current_node", MAX_NAME_CHARACTERS) or "")
    chat = ChatDraft(
        title=(fields.text("title") or "")[:MAX_TITLE_CHARACTERS],
        created_ms=fields.moment("create_time"),
        updated_ms=fields.moment("update_time"),
    )
    newest = len(kept) - 1 if kept else None
    return WholeChat(
        chat=chat,
        messages=tuple(kept),
        parents=tuple(kept_parents),
        current=newest if current is None or nearest[current] is None else nearest[current],
    )


def _draft(node: Fields) -> MessageDraft | None:
    """Return the message of a node; ``None`` when it has none that is text."""
    if node.document.get("message") is None:
        return None
    message = Fields(node.document["message"], node.path("message"))
    author = Fields(message.document.get("author"), message.path("author"))
    content = _text(message.document.get("content"))
    if author.document.get("role") not in ROLES or not content.strip():
        return None
    plain = {"role": author.document["role"], "content": content}
    return replace(read_message(plain, message.path("content")), created_ms=message.moment("create_time"))


def _text(content: Any) -> str:
    if not isinstance(content, dict):
        return ""
    parts = content.get("parts")
    if isinstance(parts, list):
        return whole_characters("\n\n".join(part for part in parts if isinstance(part, str)))
    text = content.get("text")
    return whole_characters(text) if isinstance(text, str) else ""
