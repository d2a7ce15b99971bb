"""``GET /api/info``: what the page shows about model, machine and settings."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response, jsonify

from runtime.api.attachments import file_reader
from runtime.api.context import chat_service
from runtime.api.history_access import history
from runtime.memory import usage


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("info", __name__)
    blueprint.get("/api/info")(info)
    return blueprint


def info() -> Response:
    """Answer with :meth:`ChatService.info`, the memory in use, whether chats are kept and what can be attached."""
    kept, attachments = asdict(history().status()), file_reader().status()
    return jsonify({**chat_service().info(), "memory": usage(), "history": kept, "attachments": attachments})
