"""``GET /v1/models``: the one model, with the fields of OpenAI's API and those of Anthropic's beside them."""

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
    name = chat_service().facts.model_name
    return jsonify(object="list", data=[_describe(name)], first_id=name, last_id=name, has_more=False)


def get_model(name: str) -> Response:
    """Answer with the model called ``name``, or 404."""
    known = chat_service().facts.model_name
    if name != known:
        raise ApiError(404, f"there is no model {name!r} here; the only one is {known!r}", param="model")
    return jsonify(_describe(known))


def _describe(name: str) -> dict[str, object]:
    openai = {"object": "model", "created": 0, "owned_by": "packer"}
    anthropic = {"type": "model", "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
    return {"id": name, **openai, **anthropic}
