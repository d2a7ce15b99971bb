"""``GET /v1/models``: the one model, as OpenAI's API lists models."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from runtime.api.context import chat_service
from runtime.api.errors import ApiError


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("models", __name__)
    blueprint.get("/v1/models")(list_models)
    blueprint.get("/v1/models/<path:name>")(get_model)
    return blueprint


def list_models() -> Response:
    """Answer with a list of one."""
    return jsonify(object="list", data=[_describe(chat_service().facts.model_name)])


def get_model(name: str) -> Response:
    """Answer with the model called ``name``, or 404."""
    known = chat_service().facts.model_name
    if name != known:
        raise ApiError(404, f"there is no model {name!r} here; the only one is {known!r}", param="model")
    return jsonify(_describe(known))


def _describe(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "packer"}
