"""``/api/chats/export`` and ``/api/chats/import``: chats as files."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

from flask import Response, jsonify, request, send_file

from runtime.api.errors import ApiError
from runtime.api.history_access import create_history_blueprint, store
from runtime.history.chats import now_ms
from runtime.history.exports import file_stem, to_json, to_zip
from runtime.history.imports import MAX_IMPORT_BYTES, read_chats
from runtime.history.markdown import to_markdown

if TYPE_CHECKING:
    from flask import Blueprint

FORMATS = ("json", "markdown")


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = create_history_blueprint("chat_files")
    blueprint.get("/api/chats/export")(export_all)
    blueprint.get("/api/chats/<chat_id>/export")(export_one)
    blueprint.post("/api/chats/import")(import_chats)
    return blueprint


def export_all() -> Response:
    """Send all chats: one JSON file, or a ZIP archive of Markdown files."""
    chats, name = store().chats.read_all, f"chats-{time.strftime('%Y-%m-%d', time.gmtime())}"
    if _format() == "json":
        return _file(to_json(chats(), now_ms()), f"{name}.json", "application/json")
    return _file(to_zip(chats()), f"{name}.zip", "application/zip")


def export_one(chat_id: str) -> Response:
    """Send one chat as JSON or Markdown."""
    chosen, chat = _format(), store().chats.read_chat(chat_id)
    if chosen == "json":
        return _file(to_json([chat], now_ms()), f"{file_stem(chat)}.json", "application/json")
    return _file(to_markdown(chat).encode(), f"{file_stem(chat)}.md", "text/markdown")


def import_chats() -> Response:
    """Keep the chats of the file in the body, all or none."""
    chats = store().chats
    if (request.content_length or 0) > MAX_IMPORT_BYTES:
        raise ApiError(413, f"the file is too large: the limit is {MAX_IMPORT_BYTES >> 20} MiB")
    request.max_content_length = MAX_IMPORT_BYTES
    imported = chats.import_chats(read_chats(request.get_data()))
    return jsonify({"imported": len(imported), "chats": imported})


def _format() -> str:
    chosen = request.args.get("format", "json")
    if chosen not in FORMATS:
        raise ApiError(400, f"format: expected json or markdown, found {chosen!r:.40}", param="format")
    return chosen


def _file(content: bytes, name: str, media_type: str) -> Response:
    return send_file(io.BytesIO(content), media_type, as_attachment=True, download_name=name)
