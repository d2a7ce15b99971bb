"""``/api/chats``: the chats that the page keeps on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, jsonify, request

from runtime.api.context import json_body
from runtime.api.errors import ApiError
from runtime.api.history_access import create_history_blueprint, store
from runtime.history.checks import (
    MAX_NAME_CHARACTERS,
    Fields,
    read_chat,
    read_chat_changes,
    read_message,
    read_message_changes,
)

if TYPE_CHECKING:
    from flask import Blueprint

SWITCHES = {"true": True, "1": True, "false": False, "0": False, "": False}


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = create_history_blueprint("chats")
    blueprint.get("/api/chats")(list_chats)
    blueprint.post("/api/chats")(create_chat)
    blueprint.get("/api/chats/<chat_id>")(read_chat_by_id)
    blueprint.patch("/api/chats/<chat_id>")(change_chat)
    blueprint.delete("/api/chats/<chat_id>")(delete_chat)
    blueprint.post("/api/chats/<chat_id>/restore")(restore_chat)
    blueprint.post("/api/chats/<chat_id>/messages")(add_message)
    blueprint.patch("/api/chats/<chat_id>/messages/<message_id>")(change_message)
    return blueprint


def list_chats() -> Response:
    """List chats; ``query`` searches titles and texts, ``deleted=true`` lists what can be restored."""
    deleted = request.args.get("deleted", "")
    if deleted not in SWITCHES:
        raise ApiError(400, f"deleted: expected true or false, found {deleted!r:.40}", param="deleted")
    chats = store().chats.list_chats(request.args.get("query", ""), deleted=SWITCHES[deleted])
    return jsonify({"chats": chats})


def create_chat() -> Response:
    """Keep a new chat."""
    chats = store().chats
    return jsonify(chats.create_chat(read_chat(json_body())))


def read_chat_by_id(chat_id: str) -> Response:
    """Answer with a chat and all its messages."""
    return jsonify(store().chats.read_chat(chat_id))


def change_chat(chat_id: str) -> Response:
    """Rename, pin, sort into a folder, change settings or the current message."""
    chats = store().chats
    return jsonify(chats.change_chat(chat_id, read_chat_changes(json_body())))


def delete_chat(chat_id: str) -> Response:
    """Put a chat away."""
    store().chats.delete_chat(chat_id)
    return jsonify({"id": chat_id, "deleted": True})


def restore_chat(chat_id: str) -> Response:
    """Undo a deletion."""
    return jsonify(store().chats.restore_chat(chat_id))


def add_message(chat_id: str) -> Response:
    """Keep a message."""
    chats, document = store().chats, json_body()
    parent_id = Fields(document).text("parent_id", MAX_NAME_CHARACTERS)
    return jsonify(chats.add_message(chat_id, parent_id, read_message(document)))


def change_message(chat_id: str, message_id: str) -> Response:
    """Change a message, such as a reply that grows."""
    chats = store().chats
    return jsonify(chats.change_message(chat_id, message_id, read_message_changes(json_body())))
