"""``GET /openapi.json``: this API in the words of OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from runtime.api.context import chat_service
from runtime.api.openapi_chats import chat_paths, chat_schemas
from runtime.api.openapi_parts import TEXT, reference
from runtime.api.openapi_schemas import request_schemas, response_schemas

JSON = "application/json"
EVENTS = "text/event-stream"
POSTS = {
    "/v1/chat/completions": ("Continue a chat", "ChatRequest", "ChatCompletion", "Error", True),
    "/v1/completions": ("Continue texts without a chat template", "CompletionRequest", "Completion", "Error", True),
    "/v1/responses": ("Continue a chat; nothing is stored", "ResponseRequest", "Response", "Error", True),
    "/v1/messages": ("Continue a chat, Anthropic's way", "MessageRequest", "Message", "MessageError", True),
    "/v1/messages/count_tokens": (
        "Count a prompt's tokens", "CountTokensRequest", "TokenCount", "MessageError", False
    ),
    "/tokenize": ("Turn text into tokens", "TokenizeRequest", "Tokens", "Error", False),
    "/detokenize": ("Turn tokens into text", "DetokenizeRequest", "Text", "Error", False),
    "/apply-template": ("Show the prompt that a chat makes", "TemplateRequest", "Prompt", "Error", False),
}  # fmt: skip
"""Address to summary, request, response, error, and whether the answer may be streamed."""
GETS = {
    "/v1/models": ("List the one model", "ModelList"),
    "/health": ("Say whether the model is loaded", "Status"),
    "/api/info": ("Describe model, machine and settings", "Info"),
}


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
    paths: dict[str, Any] = {path: {"post": _post(*facts)} for path, facts in POSTS.items()}
    paths |= {path: {"get": _get(*facts)} for path, facts in GETS.items()}
    paths["/health"]["get"]["responses"] |= {
        "503": _answer("The model is loading", "Status"),
        "500": {"description": "The model can't be loaded", "content": {JSON: {"schema": {"type": "object"}}}},
    }
    paths["/v1/models/{name}"] = {
        "get": {
            **_get("Describe a model", "Model"),
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": TEXT}],
        }
    }
    paths["/metrics"] = {"get": _text("Counts for Prometheus", "application/openmetrics-text")}
    paths["/openapi.json"] = {"get": _object("This description")}
    paths["/api/quit"] = {"post": _object("End the program")}
    paths |= chat_paths()
    return {
        "openapi": "3.1.0",
        "info": {"title": "packer", "version": version, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": paths,
        "components": {"schemas": {**request_schemas(), **response_schemas(), **chat_schemas()}},
    }


def _post(summary: str, request: str, response: str, error: str, streams: bool) -> dict[str, Any]:
    answer = _answer("The whole answer, or a stream of its pieces" if streams else "The answer", response)
    if streams:
        answer["content"][EVENTS] = {}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {JSON: {"schema": reference(request)}}},
        "responses": {"200": answer, "default": _answer("Why there is no answer", error)},
    }


def _get(summary: str, response: str) -> dict[str, Any]:
    responses = {"200": _answer("The answer", response), "default": _answer("Why there is no answer", "Error")}
    return {"summary": summary, "responses": responses}


def _object(summary: str) -> dict[str, Any]:
    content = {JSON: {"schema": {"type": "object"}}}
    responses = {
        "200": {"description": "The answer", "content": content},
        "default": _answer("Why there is no answer", "Error"),
    }
    return {"summary": summary, "responses": responses}


def _text(summary: str, mimetype: str) -> dict[str, Any]:
    found = _object(summary)
    found["responses"]["200"]["content"] = {mimetype: {"schema": TEXT}}
    return found


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": reference(schema)}}}
