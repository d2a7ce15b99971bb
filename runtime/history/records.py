"""Chats and messages as values: drafts to be kept, and rows turned into the JSON objects of the API."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

ROLES = ("system", "developer", "user", "assistant", "tool")
STATES = ("streaming", "done", "stopped", "failed")


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A file that came with a message: its text, or an image as a data URL."""

    name: str
    media_type: str
    size_bytes: int
    text: str | None = None
    image_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class MessageDraft:
    """A message to keep. ``created_ms`` unset means now."""

    role: str
    content: str = ""
    reasoning: str | None = None
    tool_calls: list[Any] | None = None
    tool_call_id: str | None = None
    attachments: tuple[Attachment, ...] = ()
    state: str = "done"
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    timings: dict[str, Any] | None = None
    model: str | None = None
    created_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class ChatDraft:
    """A chat to keep, without its messages. Times that are unset mean now."""

    title: str = ""
    folder: str = ""
    pinned: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    created_ms: int | None = None
    updated_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class WholeChat:
    """A chat from elsewhere. ``parents[n]`` is the index of the parent of message ``n``, always smaller than ``n``."""

    chat: ChatDraft
    messages: tuple[MessageDraft, ...]
    parents: tuple[int | None, ...]
    current: int | None


def chat_document(row: sqlite3.Row) -> dict[str, Any]:
    """Return what a list of chats says of one; ``row`` has ``num_messages`` besides the table's columns."""
    return {
        "id": row["id"],
        "title": row["title"],
        "pinned": bool(row["pinned"]),
        "folder": row["folder"],
        "created_at": timestamp(row["created_ms"]),
        "updated_at": timestamp(row["updated_ms"]),
        "num_messages": row["num_messages"],
    }


def message_document(row: sqlite3.Row, attachments: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a whole message; ``row`` has ``parent_id`` besides the table's columns."""
    return {
        "id": row["id"],
        "parent_id": row["parent_id"],
        "role": row["role"],
        "content": row["content"],
        "reasoning": row["reasoning"],
        "tool_calls": unpacked(row["tool_calls"]),
        "tool_call_id": row["tool_call_id"],
        "attachments": attachments,
        "state": row["state"],
        "finish_reason": row["finish_reason"],
        "usage": unpacked(row["usage"]),
        "timings": unpacked(row["timings"]),
        "model": row["model"],
        "created_at": timestamp(row["created_ms"]),
    }


def attachment_document(row: sqlite3.Row) -> dict[str, Any]:
    """Return an attachment; ``text`` and ``image_url`` only where there is one."""
    document = {"name": row["name"], "media_type": row["media_type"], "size_bytes": row["size_bytes"]}
    return document | {name: row[name] for name in ("text", "image_url") if row[name] is not None}


def packed(value: Any) -> str | None:
    """Return ``value`` as the JSON text that the tables hold; ``None`` stays."""
    return None if value is None else json.dumps(value, separators=(",", ":"))


def unpacked(text: str | None) -> Any:
    """Return the value of a JSON text; ``None`` stays."""
    return None if text is None else json.loads(text)


def timestamp(milliseconds: int) -> str:
    """Return ISO 8601 in UTC with milliseconds, such as ``2026-01-31T23:59:59.123Z``."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"
