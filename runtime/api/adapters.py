"""``GET /lora-adapters``: what requests choose from with ``lora``; fields as in llama.cpp's server."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from runtime.api.context import chat_service


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("adapters", __name__)
    blueprint.get("/lora-adapters")(list_adapters)
    return blueprint


def list_adapters() -> Response:
    """Answer with the number, the name and the scale of each; a request that says nothing gets these scales."""
    adapters = chat_service().facts.model.get("adapters", ())
    return jsonify([{"id": number, "name": one["name"], "scale": one["scale"]} for number, one in enumerate(adapters)])
