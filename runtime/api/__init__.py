"""The HTTP API: a Flask application factory, one blueprint a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.api import (
    adapters,
    attachments,
    chat_completions,
    chat_files,
    chats,
    completions,
    embeddings,
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
from runtime.api.attachments import EXTENSION as FILES_EXTENSION
from runtime.api.context import EXTENSION, METRICS_EXTENSION
from runtime.api.history_access import EXTENSION as HISTORY_EXTENSION
from runtime.api.json_answers import JsonAnswers
from runtime.api.metrics import Metrics
from runtime.attachments.pdf import PdfReader, extract_command, extract_environment
from runtime.attachments.reader import FileReader
from runtime.history.history import History
from runtime.pictures import NO_PROJECTOR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flask import Blueprint, Flask

    from runtime.chat_service import ChatService

MAX_BODY_BYTES = 16 << 20


def create_app(
    service: ChatService,
    extra_blueprints: Sequence[Blueprint] = (),
    *,
    history: History | None = None,
    environ: Mapping[str, str] | None = None,
) -> Flask:
    """Build the application around ``service``; ``extra_blueprints`` brings the page. Without ``history`` it is off.

    ``environ`` is what other processes are started with; without it they get nothing.
    """
    from flask import Flask

    app = Flask("runtime.api", static_folder=None)
    app.json = JsonAnswers(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions[EXTENSION] = service
    app.extensions[METRICS_EXTENSION] = Metrics()
    app.extensions[HISTORY_EXTENSION] = history or History()
    started_with = environ or {}
    pdf_reader = PdfReader(extract_command(started_with), extract_environment(started_with))
    app.extensions[FILES_EXTENSION] = FileReader(
        pdf_reader, why_no_images="" if service.facts.sees_pictures else NO_PROJECTOR
    )
    guard.install(app)
    errors.install(app)
    for module in (
        chat_completions,
        completions,
        embeddings,
        responses,
        messages,
        tokens,
        metrics_page,
        openapi,
        models,
        adapters,
        health,
        info,
        chats,
        chat_files,
        attachments,
        preferences,
        presets,
        quit_program,
    ):
        app.register_blueprint(module.create_blueprint())
    for blueprint in extra_blueprints:
        app.register_blueprint(blueprint)
    return app
