"""``GET /openapi.json``: this API in the words of OpenAPI 3.1.

Each operation names every status it answers with, and the shape of every body, errors included. An answer that may be
streamed describes one server-sent event under ``text/event-stream``, as OpenAI's own description does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, jsonify

from runtime.api.context import chat_service
from runtime.api.openapi_answers import answer_schemas
from runtime.api.openapi_chats import chat_paths, chat_schemas
from runtime.api.openapi_events import event_schemas
from runtime.api.openapi_operations import JSON, RETRY_AFTER, answer, json_body, refusals
from runtime.api.openapi_parts import TEXT, reference
from runtime.api.openapi_schemas import request_schemas

EVENTS = "text/event-stream"
METRICS = "application/openmetrics-text"


@dataclass(frozen=True, kw_only=True)
class Post:
    """A ``POST`` operation, its parts by the names of their schemas; ``event`` is set if it can be streamed."""

    summary: str
    request: str
    answer: str
    error: str = "Error"
    event: str | None = None


POSTS = {
    "/v1/chat/completions": Post(
        summary="Continue a chat", request="ChatRequest", answer="ChatCompletion", event="ChatCompletionEvent"
    ),
    "/v1/completions": Post(
        summary="Continue texts without a chat template",
        request="CompletionRequest",
        answer="Completion",
        event="CompletionEvent",
    ),
    "/v1/embeddings": Post(summary="Turn texts into vectors", request="EmbeddingRequest", answer="EmbeddingList"),
    "/v1/responses": Post(
        summary="Continue a chat; nothing is stored",
        request="ResponseRequest",
        answer="Response",
        event="ResponseStreamEvent",
    ),
    "/v1/messages": Post(
        summary="Continue a chat, Anthropic's way",
        request="MessageRequest",
        answer="Message",
        error="MessageError",
        event="MessageStreamEvent",
    ),
    "/v1/messages/count_tokens": Post(
        summary="Count a prompt's tokens", request="CountTokensRequest", answer="TokenCount", error="MessageError"
    ),
    "/tokenize": Post(summary="Turn text into tokens", request="TokenizeRequest", answer="Tokens"),
    "/detokenize": Post(summary="Turn tokens into text", request="DetokenizeRequest", answer="Text"),
    "/apply-template": Post(
        summary="Show the prompt that a chat makes", request="TemplateRequest", answer="Prompt"
    ),
}  # fmt: skip
GETS = {
    "/v1/models": ("List the one model", "ModelList"),
    "/lora-adapters": ("List the LoRA adapters that requests can choose from", "AdapterList"),
    "/health": ("Say whether the model is loaded", "Status"),
    "/api/info": ("Describe model, machine and settings", "Info"),
}
"""Address to summary and answer."""
POST_REFUSALS = (400, 403, 413, 415, 500, 503)
GET_REFUSALS = (403, 500)


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("openapi", __name__)
    blueprint.get("/openapi.json")(show_description)
    return blueprint


def show_description() -> Response:
    """Answer with the description."""
    return jsonify(describe_api(chat_service().facts.version))


def describe_api(version: str) -> dict[str, Any]:
    """Return the description as plain JSON values."""
    paths: dict[str, Any] = {path: {"post": _post(operation)} for path, operation in POSTS.items()}
    paths |= {path: {"get": _get(summary, reference(name))} for path, (summary, name) in GETS.items()}
    paths["/health"]["get"]["responses"] |= {
        "503": {**answer("The model is loading", reference("Loading")), "headers": RETRY_AFTER},
        "500": answer("The model can't be loaded", reference("LoadFailure")),
    }
    paths["/v1/models/{name}"] = {
        "get": {
            **_get("Describe a model", reference("Model"), 404),
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": {**TEXT, "minLength": 1}}],
        }
    }
    paths["/metrics"] = {"get": _get("Counts for Prometheus", TEXT, mimetype=METRICS)}
    paths["/openapi.json"] = {"get": _get("This description", {"type": "object"})}
    paths["/api/quit"] = {"post": _get("End the program", reference("Stopping"))}
    paths |= chat_paths()
    return {
        "openapi": "3.1.0",
        "info": {"title": "packer", "version": version, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": paths,
        "components": {"schemas": {**request_schemas(), **answer_schemas(), **event_schemas(), **chat_schemas()}},
    }


def _post(operation: Post) -> dict[str, Any]:
    found = answer("The answer", reference(operation.answer))
    if operation.event is not None:
        found["description"] = "The whole answer, or with stream a server-sent event for each piece"
        found["content"][EVENTS] = {"schema": reference(operation.event)}
    return {
        "summary": operation.summary,
        "requestBody": json_body(operation.request),
        "responses": {"200": found, **refusals(POST_REFUSALS, operation.error)},
    }


def _get(summary: str, schema: dict[str, Any], *more: int, mimetype: str = JSON) -> dict[str, Any]:
    responses = {"200": answer("The answer", schema, mimetype), **refusals((*GET_REFUSALS, *more))}
    return {"summary": summary, "responses": responses}
