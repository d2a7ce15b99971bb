"""``POST /api/quit``: ends the program."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from runtime.api.context import chat_service


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("quit", __name__)
    blueprint.post("/api/quit")(quit_program)
    return blueprint


def quit_program() -> Response:
    """Answer, then shut down."""
    chat_service().request_quit()
    return jsonify(status="stopping")
