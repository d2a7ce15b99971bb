"""The chats, preferences and presets of the fake program, in memory, answering as the real routes do."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.typing import ResponseReturnValue

CHAT_FIELDS = ("title", "pinned", "folder", "settings", "current_message_id")
MESSAGE_FIELDS = ("content", "reasoning", "tool_calls", "state", "finish_reason", "usage", "timings")
EMPTY_MESSAGE = {
    "role": "user",
    "content": "",
    "reasoning": None,
    "tool_calls": None,
    "tool_call_id": None,
    "attachments": [],
    "state": "done",
    "finish_reason": None,
    "usage": None,
    "timings": None,
}


class FakeChats:
    """What is kept; tests look into it and fill it. ``refusal`` makes every request for chats fail with it."""

    def __init__(self) -> None:
        self.chats: dict[str, dict[str, Any]] = {}
        self.deleted: dict[str, dict[str, Any]] = {}
        self.preferences: dict[str, Any] = {}
        self.presets: dict[str, dict[str, Any]] = {}
        self.refusal: tuple[int, str] | None = None
        self.saves: list[dict[str, Any]] = []
        """Every change of a message, as it came."""
        self._ids: Iterator[int] = itertools.count(1)
        self._now = datetime.now(UTC)

    def new_id(self) -> str:
        return f"id{next(self._ids)}"

    def time(self) -> str:
        """Return a time that is later than the one before."""
        self._now = max(self._now + timedelta(milliseconds=1), datetime.now(UTC))
        return self._now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def add_chat(self, title: str = "", **fields: Any) -> dict[str, Any]:
        now = self.time()
        chat = {"id": self.new_id(), "title": title, "pinned": False, "folder": "", "settings": {}}
        chat |= {"created_at": now, "updated_at": now, "current_message_id": None, "messages": []} | fields
        self.chats[chat["id"]] = chat
        return chat

    def add_message(self, chat: dict[str, Any], **fields: Any) -> dict[str, Any]:
        parent = fields.pop("parent_id", chat["current_message_id"])
        message = {**deepcopy(EMPTY_MESSAGE), **fields, "id": self.new_id(), "parent_id": parent}
        message["created_at"] = chat["updated_at"] = self.time()
        chat["messages"].append(message)
        chat["current_message_id"] = message["id"]
        return message

    def add_turns(self, title: str, *texts: str, **fields: Any) -> dict[str, Any]:
        """Add a chat in which user and assistant take turns."""
        chat = self.add_chat(title, **fields)
        for index, text in enumerate(texts):
            self.add_message(chat, role="assistant" if index % 2 else "user", content=text)
        chat["updated_at"] = fields.get("updated_at", chat["updated_at"])
        return chat

    def only_chat(self) -> dict[str, Any]:
        (chat,) = self.chats.values()
        return chat


def summary(chat: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in chat.items() if name not in {"messages", "settings", "current_message_id"}}
    return {**kept, "num_messages": len(chat["messages"])}


def create_blueprint(kept: FakeChats) -> Blueprint:
    blueprint = Blueprint("fake_chats", __name__)
    _add_chat_routes(blueprint, kept)
    _add_message_routes(blueprint, kept)
    _add_transfer_routes(blueprint, kept)
    _add_preference_routes(blueprint, kept)

    @blueprint.before_request
    def refuse() -> ResponseReturnValue | None:
        if kept.refusal is None or not request.path.startswith("/api/chats"):
            return None
        status, message = kept.refusal
        return jsonify(error={"message": message, "type": "server_error", "param": None, "code": None}), status

    @blueprint.errorhandler(KeyError)
    def missing(error: KeyError) -> ResponseReturnValue:
        message = f"there is no {error.args[0]}"
        return jsonify(error={"message": message, "type": "invalid_request_error", "param": None, "code": None}), 404

    return blueprint


def _add_chat_routes(blueprint: Blueprint, kept: FakeChats) -> None:
    @blueprint.get("/api/chats")
    def list_chats() -> ResponseReturnValue:
        words = request.args.get("query", "").lower().split()
        found = []
        for chat in list(kept.chats.values()):
            texts = [chat["title"], *(message["content"] for message in chat["messages"])]
            if all(any(word in text.lower() for text in texts) for word in words):
                hit = next((text for text in texts[1:] if words and words[0] in text.lower()), None)
                found.append({**summary(chat), **({"snippet": hit[:80]} if hit else {})})
        found.sort(key=lambda chat: (chat["pinned"], chat["updated_at"]), reverse=True)
        return jsonify(chats=found)

    @blueprint.post("/api/chats")
    def create_chat() -> ResponseReturnValue:
        given = {name: value for name, value in request.get_json().items() if name in CHAT_FIELDS}
        return jsonify(kept.add_chat(**{**given, "folder": given.get("folder") or ""}))

    @blueprint.get("/api/chats/<chat_id>")
    def read_chat(chat_id: str) -> ResponseReturnValue:
        return jsonify(kept.chats[chat_id])

    @blueprint.patch("/api/chats/<chat_id>")
    def change_chat(chat_id: str) -> ResponseReturnValue:
        chat = kept.chats[chat_id]
        chat |= {name: value for name, value in request.get_json().items() if name in CHAT_FIELDS}
        return jsonify(summary(chat))

    @blueprint.delete("/api/chats/<chat_id>")
    def delete_chat(chat_id: str) -> ResponseReturnValue:
        kept.deleted[chat_id] = kept.chats.pop(chat_id)
        return jsonify(id=chat_id, deleted=True)

    @blueprint.post("/api/chats/<chat_id>/restore")
    def restore_chat(chat_id: str) -> ResponseReturnValue:
        kept.chats[chat_id] = kept.deleted.pop(chat_id)
        return jsonify(summary(kept.chats[chat_id]))


def _add_message_routes(blueprint: Blueprint, kept: FakeChats) -> None:
    @blueprint.post("/api/chats/<chat_id>/messages")
    def add_message(chat_id: str) -> ResponseReturnValue:
        given = {name: value for name, value in request.get_json().items() if name in {*EMPTY_MESSAGE, "parent_id"}}
        return jsonify(kept.add_message(kept.chats[chat_id], **given))

    @blueprint.patch("/api/chats/<chat_id>/messages/<message_id>")
    def change_message(chat_id: str, message_id: str) -> ResponseReturnValue:
        changes = {name: value for name, value in request.get_json().items() if name in MESSAGE_FIELDS}
        kept.saves.append(changes)
        message = next(entry for entry in kept.chats[chat_id]["messages"] if entry["id"] == message_id)
        message |= changes
        return jsonify(message)


def _add_transfer_routes(blueprint: Blueprint, kept: FakeChats) -> None:
    @blueprint.get("/api/chats/export")
    def export_all() -> ResponseReturnValue:
        if request.args["format"] == "json":
            return _file("chats.json", json.dumps({"chats": list(kept.chats.values())}).encode(), "application/json")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for chat in list(kept.chats.values()):
                archive.writestr(f"{chat['title']}.md", _markdown(chat))
        return _file("chats.zip", packed.getvalue(), "application/zip")

    @blueprint.get("/api/chats/<chat_id>/export")
    def export_one(chat_id: str) -> ResponseReturnValue:
        chat = kept.chats[chat_id]
        if request.args["format"] == "json":
            return _file("chat.json", json.dumps({"chats": [chat]}).encode(), "application/json")
        return _file("chat.md", _markdown(chat).encode(), "text/markdown")

    @blueprint.post("/api/chats/import")
    def import_chats() -> ResponseReturnValue:
        chats = json.loads(request.get_data())["chats"]
        for chat in chats:
            kept.add_chat(chat["title"], messages=chat["messages"], current_message_id=chat["current_message_id"])
        return jsonify(imported=len(chats), chats=[])


def _add_preference_routes(blueprint: Blueprint, kept: FakeChats) -> None:
    @blueprint.get("/api/preferences")
    def read_preferences() -> ResponseReturnValue:
        return jsonify(kept.preferences)

    @blueprint.put("/api/preferences")
    def write_preferences() -> ResponseReturnValue:
        kept.preferences = request.get_json()
        return jsonify(kept.preferences)

    @blueprint.get("/api/presets")
    def list_presets() -> ResponseReturnValue:
        return jsonify(presets=list(kept.presets.values()))

    @blueprint.post("/api/presets")
    def add_preset() -> ResponseReturnValue:
        preset = {**request.get_json(), "id": kept.new_id()}
        kept.presets[preset["id"]] = preset
        return jsonify(preset)

    @blueprint.put("/api/presets/<preset_id>")
    def replace_preset(preset_id: str) -> ResponseReturnValue:
        kept.presets[preset_id] |= request.get_json()
        return jsonify(kept.presets[preset_id])

    @blueprint.delete("/api/presets/<preset_id>")
    def delete_preset(preset_id: str) -> ResponseReturnValue:
        del kept.presets[preset_id]
        return jsonify(id=preset_id, deleted=True)


def _markdown(chat: dict[str, Any]) -> str:
    return "\n\n".join([f"# {chat['title']}", *(message["content"] for message in chat["messages"])])


def _file(name: str, data: bytes, media_type: str) -> Response:
    response = Response(data, mimetype=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
