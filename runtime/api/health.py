"""``GET /health``: loading, ready or failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, jsonify

from runtime.api.context import chat_service
from runtime.instance import ID_HEADER

if TYPE_CHECKING:
    from flask import Response
    from flask.typing import ResponseReturnValue


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("health", __name__)
    blueprint.get("/health")(health)
    blueprint.after_request(_identify)
    return blueprint


def _identify(response: Response) -> Response:
    """Say which start of the program this is, so that another start can tell that it found the right one."""
    if identity := chat_service().facts.instance:
        response.headers[ID_HEADER] = identity
    return response


def health() -> ResponseReturnValue:
    """Answer 200 once the model is loaded, 503 with the progress before, 500 with the reason if it can't be.

    What computes, and why, is said along with the first.
    """
    status = chat_service().status()
    if status.state == "ready":
        return jsonify(status="ok", device=chat_service().facts.device)
    if status.state == "loading":
        body = jsonify(status="loading", progress=round(status.progress, 3), stage="loading model")
        return body, 503, {"Retry-After": "1"}
    message = str(status.error) if status.error else "the program is shutting down"
    return jsonify(status="error", error={"message": message}), 500
