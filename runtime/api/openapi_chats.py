"""The routes of kept chats in the words of OpenAPI; ``openapi.py`` puts them beside the others."""

from __future__ import annotations

from typing import Any

from runtime.api.openapi_parts import COUNT, FLAG, TEXT, Schema, listed, nullable, record, reference
from runtime.history.checks import (
    MAX_ATTACHMENTS,
    MAX_IMAGE_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MAX_TITLE_CHARACTERS,
)
from runtime.history.records import ROLES, STATES

JSON = "application/json"
TAG = "chats"
OBJECT: Schema = {"type": "object"}
ANY_OBJECT = nullable("object")
LONG_TEXT = nullable("string", maxLength=MAX_TEXT_CHARACTERS)
NAME = nullable("string", maxLength=MAX_NAME_CHARACTERS)
TIME: Schema = {"type": "string", "format": "date-time"}
QUERY = {"name": "query", "in": "query", "schema": TEXT, "description": "words in titles and texts"}
IS_DELETED = {"name": "deleted", "in": "query", "schema": {"enum": ["true", "false"]}}


def chat_paths() -> dict[str, Any]:
    """Return the path items."""
    one, message = "/api/chats/{chat_id}", "/api/chats/{chat_id}/messages/{message_id}"
    return {
        "/api/chats": {
            "get": {**_operation("List chats, or search them", "ChatList"), "parameters": [QUERY, IS_DELETED]},
            "post": _operation("Keep a new chat", "StoredChat", "ChatFields"),
        },
        one: {
            "get": _operation("Read a chat with all its messages", "StoredChat", path=one),
            "patch": _operation("Change a chat", "ChatSummary", "ChatChanges", path=one),
            "delete": _operation("Put a chat away", "Deleted", path=one),
        },
        f"{one}/restore": {"post": _operation("Undo a deletion", "ChatSummary", path=one)},
        f"{one}/messages": {"post": _operation("Keep a message", "StoredMessage", "NewMessage", path=one)},
        message: {"patch": _operation("Change a message", "StoredMessage", "MessageChanges", path=message)},
        "/api/preferences": {
            "get": _operation("Read the page's preferences", "Preferences"),
            "put": _operation("Replace the page's preferences", "Preferences", "Preferences"),
        },
        "/api/presets": {
            "get": _operation("List presets", "PresetList"),
            "post": _operation("Keep a preset", "Preset", "PresetFields"),
        },
        "/api/presets/{preset_id}": {
            "put": _operation("Change a preset", "Preset", "PresetFields", path="/api/presets/{preset_id}"),
            "delete": _operation("Delete a preset", "Deleted", path="/api/presets/{preset_id}"),
        },
    }


def chat_schemas() -> dict[str, Schema]:
    """Return the components."""
    head = {"id": TEXT, "title": TEXT, "pinned": {"type": "boolean"}, "folder": TEXT}
    times = {"created_at": TIME, "updated_at": TIME}
    listed_chat = {**head, **times, "num_messages": COUNT}
    summary = {**listed_chat, "settings": OBJECT, "current_message_id": nullable("string")}
    return {
        "ChatFields": record("", **_chat_fields()),
        "ChatChanges": record("", **_chat_fields(), current_message_id=NAME),
        "ChatList": record(
            "chats", chats=listed(record(" ".join(listed_chat), **listed_chat, snippet={"type": "string"}))
        ),
        "ChatSummary": record(" ".join(summary), **summary),
        "StoredChat": record(
            " ".join([*summary, "messages"]), **summary, messages=listed(reference("StoredMessage"))
        ),
        "Deleted": record("id deleted", id=TEXT, deleted={"const": True}),
        "Preferences": OBJECT,
        "PresetFields": record(
            "name",
            name={**TEXT, "minLength": 1, "maxLength": MAX_NAME_CHARACTERS, "pattern": r"\S"},
            system_prompt=LONG_TEXT,
            sampling=ANY_OBJECT,
        ),
        "Preset": record(
            "id name system_prompt sampling created_at",
            id=TEXT,
            name=TEXT,
            system_prompt=TEXT,
            sampling=OBJECT,
            created_at=TIME,
        ),
        "PresetList": record("presets", presets=listed(reference("Preset"))),
        **_message_schemas(),
    }  # fmt: skip


def _chat_fields() -> dict[str, Schema]:
    return {
        "title": nullable("string", maxLength=MAX_TITLE_CHARACTERS),
        "folder": NAME,
        "pinned": FLAG,
        "settings": ANY_OBJECT,
    }


def _message_schemas() -> dict[str, Schema]:
    changes = {
        "content": LONG_TEXT,
        "reasoning": LONG_TEXT,
        "tool_calls": nullable("array"),
        "state": {"enum": [*STATES, None]},
        "finish_reason": NAME,
        "usage": ANY_OBJECT,
        "timings": ANY_OBJECT,
    }
    attachment = record(
        "",
        name=NAME,
        media_type=NAME,
        size_bytes=nullable("integer", minimum=0, maximum=(1 << 53) - 1),
        text=LONG_TEXT,
        image_url=nullable("string", pattern="^data:image/", maxLength=MAX_IMAGE_CHARACTERS),
    )
    attachments = {"type": ["array", "null"], "items": attachment, "maxItems": MAX_ATTACHMENTS}
    role: Schema = {"enum": list(ROLES)}
    new = record("role", role=role, parent_id=NAME, tool_call_id=NAME, model=NAME, attachments=attachments, **changes)
    stored = {
        **changes,
        "id": TEXT,
        "parent_id": NAME,
        "role": role,
        "content": TEXT,
        "tool_call_id": NAME,
        "attachments": listed(OBJECT),
        "state": {"enum": list(STATES)},
        "model": NAME,
        "created_at": TIME,
    }
    return {
        "NewMessage": new,
        "MessageChanges": record("", **changes),
        "StoredMessage": record(" ".join(stored), **stored),
    }  # fmt: skip


def _operation(summary: str, response: str, request: str | None = None, *, path: str = "") -> dict[str, Any]:
    answer = {"description": "The answer", "content": {JSON: {"schema": reference(response)}}}
    failure = {"description": "Why there is no answer", "content": {JSON: {"schema": reference("Error")}}}
    operation: dict[str, Any] = {
        "summary": summary,
        "tags": [TAG],
        "responses": {"200": answer, "default": failure},
    }
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    if names:
        operation["parameters"] = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in names]
    if request:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": reference(request)}}}
    return operation
