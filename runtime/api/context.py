"""How a view gets at the service and at a JSON body."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn, cast

from flask import current_app, request

from runtime.api.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.api.metrics import Metrics
    from runtime.chat_service import ChatService

EXTENSION = "chat_service"
METRICS_EXTENSION = "metrics"


def chat_service() -> ChatService:
    """Return the service of the current application."""
    return cast("ChatService", current_app.extensions[EXTENSION])


def metrics() -> Metrics:
    """Return the counts of the current application."""
    return cast("Metrics", current_app.extensions[METRICS_EXTENSION])


def client_gone() -> Callable[[], bool]:
    """Return a function that tells whether the client of this request has closed its connection."""
    check = request.environ.get("waitress.client_disconnected")
    return cast("Callable[[], bool]", check) if check is not None else lambda: False


def json_body() -> dict[str, Any]:
    """Return the request's JSON object. Raises ApiError 415 or 400 when there is none."""
    if not request.is_json:
        found = request.mimetype or "nothing"
        raise ApiError(415, f"expected Content-Type application/json, found {found}")
    try:
        document = json.loads(request.get_data(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise ApiError(400, f"the body must be a JSON object, found {type(document).__name__}")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
