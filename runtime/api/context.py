"""How a view gets at the service and at a JSON body."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn, cast

from flask import current_app, request

from runtime.api.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.api.metrics import Metrics
    from runtime.chat_service import ChatService

EXTENSION = "chat_service"
METRICS_EXTENSION = "metrics"
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


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
    """Return the request's JSON object. Raises ApiError 415 or 400 when there is none.

    Half a surrogate pair, which is no character (a text cut in the middle of one), becomes a replacement character.
    """
    if not request.is_json:
        found = request.mimetype or "nothing"
        raise ApiError(415, f"expected the header 'Content-Type: application/json', found {found}")
    try:
        data = request.get_data()
        document = json.loads(data, parse_constant=_refuse_constant)
        if SURROGATE.search(data):
            whole = json.dumps(document, ensure_ascii=False).encode("utf-16", "surrogatepass")
            document = json.loads(whole.decode("utf-16", "replace"))
    except RecursionError as error:
        raise ApiError(400, "the body's lists and objects stand too deeply in each other") from error
    except ValueError as error:
        raise ApiError(400, f"the body is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise ApiError(400, f"the body must be a JSON object, found {type(document).__name__}")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
