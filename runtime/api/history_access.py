"""What the routes of kept chats share: the store of the application, and their errors as HTTP says them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flask import Blueprint, Response, current_app

from runtime.api.errors import ApiError
from runtime.api.peer import check_peer
from runtime.history.errors import (
    HistoryError,
    HistoryOffError,
    InvalidError,
    MissingError,
    StoreBusyError,
    StoreDamagedError,
    StoreFullError,
)

if TYPE_CHECKING:
    from runtime.history.history import History
    from runtime.history.store import Store

EXTENSION = "history"
RETRY_AFTER_S = 1
ANSWERS: dict[type[HistoryError], tuple[int, str]] = {
    HistoryOffError: (403, "history_off"),
    MissingError: (404, "not_found"),
    StoreFullError: (507, "history_full"),
    StoreBusyError: (503, "history_busy"),
    StoreDamagedError: (500, "history_damaged"),
}


def history() -> History:
    """Return the history of the current application."""
    return cast("History", current_app.extensions[EXTENSION])


def store() -> Store:
    """Return the open store. Raises HistoryOffError."""
    return history().store()


def create_history_blueprint(name: str) -> Blueprint:
    """Make a blueprint whose routes serve this user alone and answer errors of the history in OpenAI's shape."""
    blueprint = Blueprint(name, __name__)
    blueprint.before_request(check_peer)
    blueprint.register_error_handler(HistoryError, _answer)
    blueprint.register_error_handler(InvalidError, _refuse)
    return blueprint


def _answer(error: HistoryError) -> Response:
    status, code = ANSWERS.get(type(error), (500, "history_failed"))
    retry = RETRY_AFTER_S if isinstance(error, StoreBusyError) else None
    return ApiError(status, str(error), code=code, retry_after_s=retry).response()


def _refuse(error: InvalidError) -> Response:
    return ApiError(400, str(error), param=error.field or None).response()
