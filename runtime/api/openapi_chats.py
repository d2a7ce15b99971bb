"""The routes of kept chats in the words of OpenAPI; ``openapi.py`` puts them beside the others."""

from __future__ import annotations

from typing import Any

from runtime.api.chats import SWITCHES
from runtime.api.openapi_operations import JSON, answer, json_body, refusals
from runtime.api.openapi_parts import COUNT, FLAG, TEXT, Schema, listed, nullable, record, reference
from runtime.history.checks import (
    MAX_ATTACHMENTS,
    MAX_IMAGE_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MAX_TITLE_CHARACTERS,
)
from runtime.history.exports import FORMAT, VERSION
from runtime.history.records import ROLES, STATES

TAG = "chats"
REFUSALS = (403, 500, 503, 507)
BODY_REFUSALS = (400, 413, 415)
OBJECT: Schema = {"type": "object"}
ANY_OBJECT = nullable("object")
LONG_TEXT = nullable("string", maxLength=MAX_TEXT_CHARACTERS)
NAME = nullable("string", maxLength=MAX_NAME_CHARACTERS)
TIME: Schema = {"type": "string", "format": "date-time"}
QUERY = {"name": "query", "in": "query", "schema": TEXT, "description": "words in titles and texts"}
IS_DELETED = {"name": "deleted", "in": "query", "schema": {"enum": list(SWITCHES)}}


def chat_paths() -> dict[str, Any]:
    """Return the path items."""
    one, message = "/api/chats/{chat_id}", "/api/chats/{chat_id}/messages/{message_id}"
    return {
        "/api/chats": {
            "get": _listing(),
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
        "/api/chats/export": {"get": _download("Export all chats", "application/zip")},
        f"{one}/export": {"get": _download("Export a chat", "text/markdown", path=one)},
        "/api/chats/import": {"post": _upload("Keep the chats of a file")},
        "/api/attachments": {"post": _attach()},
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


def _listing() -> dict[str, Any]:
    operation = _operation("List chats, or search them", "ChatList")
    operation["responses"] |= refusals((400,))
    return {**operation, "parameters": [QUERY, IS_DELETED]}


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
        "ChatFile": record(
            "format version chats",
            format={"const": FORMAT},
            version={"const": VERSION},
            exported_at=TIME,
            chats=listed(OBJECT),
        ),
        "FileText": record(
            "name media_type size_bytes truncated",
            name=TEXT,
            media_type=TEXT,
            size_bytes=COUNT,
            text=TEXT,
            image_url=TEXT,
            num_pages=COUNT,
            truncated={"type": "boolean"},
        ),
        "Imported": record("imported chats", imported=COUNT, chats=listed(reference("ChatSummary"))),
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


def _download(summary: str, markdown_type: str, *, path: str = "") -> dict[str, Any]:
    chosen = {"name": "format", "in": "query", "schema": {"enum": ["json", "markdown"]}}
    operation = _operation(summary, "ChatFile", path=path)
    operation["parameters"] = [*operation.get("parameters", []), chosen]
    operation["responses"]["200"]["content"][markdown_type] = {}
    operation["responses"] |= refusals((400,))
    return operation


def _attach() -> dict[str, Any]:
    operation = _operation("Turn a file into text for a message", "FileText", "")
    form = record("file", file={"type": "string", "contentMediaType": "application/octet-stream"})
    operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    return operation


def _upload(summary: str) -> dict[str, Any]:
    operation = _operation(summary, "Imported", "")
    content: dict[str, Any] = {kind: {} for kind in ("application/octet-stream", "application/zip", "text/markdown")}
    operation["requestBody"] = {"required": True, "content": {JSON: {"schema": reference("ChatFile")}, **content}}
    return operation


def _operation(summary: str, response: str, request: str | None = None, *, path: str = "") -> dict[str, Any]:
    """Describe an operation; an empty ``request`` has a body that the caller describes."""
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    statuses = [*REFUSALS, *([404] if names else []), *(BODY_REFUSALS if request is not None else [])]
    operation: dict[str, Any] = {
        "summary": summary,
        "tags": [TAG],
        "responses": {"200": answer("The answer", reference(response)), **refusals(tuple(statuses))},
    }
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {**TEXT, "minLength": 1}} for name in names
        ]
    if request:
        operation["requestBody"] = json_body(request)
    return operation
