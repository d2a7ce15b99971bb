"""``/api/presets``: named system prompts with sampling settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Response, jsonify

from runtime.api.context import json_body
from runtime.api.history_access import create_history_blueprint, store
from runtime.history.checks import MAX_NAME_CHARACTERS, Fields
from runtime.history.errors import InvalidError

if TYPE_CHECKING:
    from flask import Blueprint


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = create_history_blueprint("presets")
    blueprint.get("/api/presets")(list_presets)
    blueprint.post("/api/presets")(add_preset)
    blueprint.put("/api/presets/<preset_id>")(replace_preset)
    blueprint.delete("/api/presets/<preset_id>")(delete_preset)
    return blueprint


def list_presets() -> Response:
    """List presets by name."""
    return jsonify({"presets": store().preferences.list_presets()})


def add_preset() -> Response:
    """Keep a new preset."""
    preferences = store().preferences
    return jsonify(preferences.add_preset(*_preset()))


def replace_preset(preset_id: str) -> Response:
    """Change a preset."""
    preferences = store().preferences
    return jsonify(preferences.replace_preset(preset_id, *_preset()))


def delete_preset(preset_id: str) -> Response:
    """Delete a preset."""
    store().preferences.delete_preset(preset_id)
    return jsonify({"id": preset_id, "deleted": True})


def _preset() -> tuple[str, str, dict[str, Any]]:
    fields = Fields(json_body())
    name = (fields.text("name", MAX_NAME_CHARACTERS) or "").strip()
    if not name:
        raise InvalidError("name", "is missing; give the preset a name")
    return name, fields.text("system_prompt") or "", fields.mapping("sampling") or {}
