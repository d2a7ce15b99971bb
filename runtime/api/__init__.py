"""The HTTP API: a Flask application factory, one blueprint a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.api import (
    chat_completions,
    chats,
    completions,
    errors,
    guard,
    health,
    info,
    messages,
    metrics_page,
    models,
    openapi,
    preferences,
    presets,
    quit_program,
    responses,
    tokens,
)
from runtime.api.context import EXTENSION, METRICS_EXTENSION
from runtime.api.history_access import EXTENSION as HISTORY_EXTENSION
from runtime.api.metrics import Metrics
from runtime.history.history import History

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Blueprint, Flask

    from runtime.chat_service import ChatService

MAX_BODY_BYTES = 16 << 20


def create_app(
    service: ChatService, extra_blueprints: Sequence[Blueprint] = (), *, history: History | None = None
) -> Flask:
    """Build the application around ``service``; ``extra_blueprints`` brings the page. Without ``history`` it is off."""
    from flask import Flask

    app = Flask("runtime.api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions[EXTENSION] = service
    app.extensions[METRICS_EXTENSION] = Metrics()
    app.extensions[HISTORY_EXTENSION] = history or History()
    guard.install(app)
    errors.install(app)
    for module in (
        chat_completions,
        completions,
        responses,
        messages,
        tokens,
        metrics_page,
        openapi,
        models,
        health,
        info,
        chats,
        preferences,
        presets,
        quit_program,
    ):
        app.register_blueprint(module.create_blueprint())
    for blueprint in extra_blueprints:
        app.register_blueprint(blueprint)
    return app
