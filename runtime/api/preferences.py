"""``/api/preferences``: one small JSON object that the page keeps, the same for every browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, jsonify

from runtime.api.context import json_body
from runtime.api.history_access import create_history_blueprint, store
from runtime.history.checks import MAX_OBJECT_CHARACTERS, check_size

if TYPE_CHECKING:
    from flask import Blueprint


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = create_history_blueprint("preferences")
    blueprint.get("/api/preferences")(read_preferences)
    blueprint.put("/api/preferences")(write_preferences)
    return blueprint


def read_preferences() -> Response:
    """Answer with the preferences."""
    return jsonify(store().preferences.read())


def write_preferences() -> Response:
    """Replace the preferences."""
    preferences, document = store().preferences, json_body()
    check_size(document, "preferences", MAX_OBJECT_CHARACTERS)
    preferences.write(document)
    return jsonify(document)
