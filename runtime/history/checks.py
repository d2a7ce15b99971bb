"""Checks JSON objects that describe chats and messages, from the page or from a file, before anything is kept.

Unknown fields are ignored. What is wrong raises InvalidError with the field, what was expected and what was found.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runtime.history.errors import InvalidError
from runtime.history.records import ROLES, STATES, Attachment, ChatDraft, MessageDraft

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_TEXT_CHARACTERS = 4 << 20
MAX_TITLE_CHARACTERS = 500
MAX_NAME_CHARACTERS = 300
MAX_ATTACHMENTS = 32
MAX_IMAGE_CHARACTERS = 14 << 20
MAX_OBJECT_CHARACTERS = 64 << 10
MAX_TOOL_CALLS_CHARACTERS = 1 << 20
MAX_DEPTH = 16
LATEST_MS = 253_402_300_799_999
"""The end of the year 9999."""
IMAGE_PREFIX = "data:image/"
KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "nothing"}


class Fields:
    """Reads the fields of one object; ``where`` is its path in messages, such as ``chats[2].messages[7]``."""

    def __init__(self, document: Any, where: str = "") -> None:
        """Raises InvalidError when ``document`` is no object."""
        if not isinstance(document, dict):
            raise wrong(where or "the body", "an object", document)
        self.document: Mapping[str, Any] = document
        self._prefix = f"{where}." if where else ""

    def path(self, name: str) -> str:
        """Return the path of a field in messages."""
        return self._prefix + name

    def text(self, name: str, limit: int = MAX_TEXT_CHARACTERS) -> str | None:
        """Read a string; halves of characters, which a stream can leave at its end, become replacement characters."""
        value = self.document.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise wrong(self.path(name), "a string", value)
        if len(value) > limit:
            raise InvalidError(self.path(name), f"expected at most {limit:,} characters, found {len(value):,}")
        return whole_characters(value)

    def flag(self, name: str) -> bool:
        """Read a boolean; missing is false."""
        value = self.document.get(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(self.path(name), "true or false", value)
        return bool(value)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str | None:
        """Read a string that is one of ``allowed``."""
        value = self.text(name)
        if value is not None and value not in allowed:
            raise InvalidError(self.path(name), f"expected one of {', '.join(allowed)}, found {value!r:.60}")
        return value

    def count(self, name: str) -> int:
        """Read a whole number that is not negative; missing is 0."""
        value = self.document.get(name)
        if value is None:
            return 0
        if type(value) not in (int, float) or not 0 <= value < 1 << 53 or int(value) != value:
            raise wrong(self.path(name), "a whole number from 0 on", value)
        return int(value)

    def mapping(self, name: str, limit: int = MAX_OBJECT_CHARACTERS) -> dict[str, Any] | None:
        """Read an object that is small and not deep."""
        value = self.document.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise wrong(self.path(name), "an object", value)
        check_size(value, self.path(name), limit)
        return value

    def items(self, name: str) -> list[Any] | None:
        """Read a list."""
        value = self.document.get(name)
        if value is not None and not isinstance(value, list):
            raise wrong(self.path(name), "a list", value)
        return value

    def moment(self, name: str) -> int | None:
        """Read a time, ISO 8601 or seconds since 1970; return milliseconds since 1970."""
        value = self.document.get(name)
        if value is None:
            return None
        try:
            if isinstance(value, str):
                found = datetime.fromisoformat(value)
                seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
            elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                seconds = float(value)
            else:
                raise ValueError
        except (ValueError, OverflowError) as error:
            raise wrong(self.path(name), "a time such as 2026-01-31T12:00:00Z", value) from error
        return min(max(round(seconds * 1000), 0), LATEST_MS)


def wrong(field: str, expected: str, found: Any) -> InvalidError:
    """Make the error for a value of the wrong type."""
    return InvalidError(field, f"expected {expected}, found {KINDS.get(type(found), f'{found!r:.60}')}")


def whole_characters(text: str) -> str:
    """Return ``text`` without lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def check_size(value: Any, field: str, limit: int) -> None:
    """Refuse a JSON value that is large or deep. Raises InvalidError."""
    if depth_of(value) > MAX_DEPTH:
        raise InvalidError(field, f"expected at most {MAX_DEPTH} levels inside each other")
    try:
        size = len(json.dumps(value, allow_nan=False))
    except ValueError as error:
        raise InvalidError(field, "a number in it is too large") from error
    if size > limit:
        raise InvalidError(field, f"expected at most {limit:,} characters of JSON, found {size:,}")


def depth_of(value: Any) -> int:
    """Return how many objects and lists lie inside each other, without recursion."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        if depth > MAX_DEPTH:
            break
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def read_chat(document: Any, where: str = "") -> ChatDraft:
    """Read a chat without its messages."""
    fields = Fields(document, where)
    return ChatDraft(
        title=fields.text("title", MAX_TITLE_CHARACTERS) or "",
        folder=fields.text("folder", MAX_NAME_CHARACTERS) or "",
        pinned=fields.flag("pinned"),
        settings=fields.mapping("settings", MAX_TEXT_CHARACTERS) or {},
    )


def read_message(document: Any, where: str = "") -> MessageDraft:
    """Read a message without its place in the tree."""
    fields = Fields(document, where)
    role = fields.choice("role", ROLES)
    if role is None:
        raise InvalidError(fields.path("role"), f"is missing; expected one of {', '.join(ROLES)}")
    changes = read_message_changes(document, where)
    return MessageDraft(
        role=role,
        attachments=_attachments(fields),
        tool_call_id=fields.text("tool_call_id", MAX_NAME_CHARACTERS),
        model=fields.text("model", MAX_NAME_CHARACTERS),
        **changes,
    )


def read_foreign_chat(document: Any, where: str) -> ChatDraft:
    """Read a chat, without its messages, that was kept elsewhere and brings its times."""
    fields = Fields(document, where)
    created_ms, updated_ms = fields.moment("created_at"), fields.moment("updated_at")
    return replace(read_chat(document, where), created_ms=created_ms, updated_ms=updated_ms)


def read_foreign_message(document: Any, where: str) -> MessageDraft:
    """Read a message, without its place in the tree, that was kept elsewhere; nothing is added to it any more."""
    draft = read_message(document, where)
    state = "stopped" if draft.state == "streaming" else draft.state
    return replace(draft, state=state, created_ms=Fields(document, where).moment("created_at"))


def read_message_changes(document: Any, where: str = "") -> dict[str, Any]:
    """Read those fields of a message that can change later; only what is there is returned."""
    fields = Fields(document, where)
    readers: dict[str, Callable[[], Any]] = {
        "content": lambda: fields.text("content") or "",
        "reasoning": lambda: fields.text("reasoning"),
        "tool_calls": lambda: _tool_calls(fields),
        "state": lambda: fields.choice("state", STATES) or "done",
        "finish_reason": lambda: fields.text("finish_reason", MAX_NAME_CHARACTERS),
        "usage": lambda: fields.mapping("usage"),
        "timings": lambda: fields.mapping("timings"),
    }
    return {name: read() for name, read in readers.items() if name in fields.document}


def read_chat_changes(document: Any) -> dict[str, Any]:
    """Read those fields of a chat that can change; only what is there is returned."""
    fields = Fields(document)
    draft = read_chat(document)
    changes = {
        name: getattr(draft, name) for name in ("title", "folder", "pinned", "settings") if name in fields.document
    }
    if "current_message_id" in fields.document:
        changes["current_message_id"] = fields.text("current_message_id", MAX_NAME_CHARACTERS)
    return changes


def _tool_calls(fields: Fields) -> list[Any] | None:
    calls = fields.items("tool_calls")
    if calls is not None:
        check_size(calls, fields.path("tool_calls"), MAX_TOOL_CALLS_CHARACTERS)
    return calls


def _attachments(fields: Fields) -> tuple[Attachment, ...]:
    given = fields.items("attachments") or []
    if len(given) > MAX_ATTACHMENTS:
        raise InvalidError(fields.path("attachments"), f"expected at most {MAX_ATTACHMENTS}, found {len(given)}")
    return tuple(_attachment(entry, fields.path(f"attachments[{index}]")) for index, entry in enumerate(given))


def _attachment(document: Any, where: str) -> Attachment:
    fields = Fields(document, where)
    image_url = fields.text("image_url", MAX_IMAGE_CHARACTERS)
    if image_url is not None and not image_url.startswith(IMAGE_PREFIX):
        raise InvalidError(fields.path("image_url"), f"expected an image in the text itself ({IMAGE_PREFIX}...)")
    return Attachment(
        name=fields.text("name", MAX_NAME_CHARACTERS) or "",
        media_type=fields.text("media_type", MAX_NAME_CHARACTERS) or "application/octet-stream",
        size_bytes=fields.count("size_bytes"),
        text=fields.text("text"),
        image_url=image_url,
    )
