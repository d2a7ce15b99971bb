"""``GET /api/info``: what the page shows about model, machine and settings."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from runtime.api.context import chat_service


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("info", __name__)
    blueprint.get("/api/info")(info)
    return blueprint


def info() -> Response:
    """Answer with :meth:`ChatService.info`."""
    return jsonify(chat_service().info())
