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
from runtime.api.openapi_schemas import TEXT, reference, request_schemas

JSON = "application/json"
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
    "/health": ("Say whether the model is loaded", "Status"),
    "/api/info": ("Describe model, machine and settings", "Info"),
}
"""Address to summary and answer."""
REFUSALS = {
    400: "A field is wrong, or the prompt is too long; the message says which and why",
    403: "The Host or Origin header is not this machine's own",
    404: "There is no such model",
    413: "The request is too large",
    415: "The Content-Type is not application/json",
    500: "The program failed; its terminal shows more",
    503: "The model is loading, the queue is full or the program is ending; try again",
}
POST_REFUSALS = (400, 403, 413, 415, 500, 503)
GET_REFUSALS = (403, 500)
RETRY_AFTER = {"Retry-After": {"description": "seconds", "required": True, "schema": {"type": "integer"}}}


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
    paths |= {path: {"get": _get(summary, reference(answer))} for path, (summary, answer) in GETS.items()}
    paths["/health"]["get"]["responses"] |= {
        "503": {**_answer("The model is loading", reference("Loading")), "headers": RETRY_AFTER},
        "500": _answer("The model can't be loaded", reference("LoadFailure")),
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
    answer = _answer("The answer", reference(operation.answer))
    if operation.event is not None:
        answer["description"] = "The whole answer, or with stream a server-sent event for each piece"
        answer["content"][EVENTS] = {"schema": reference(operation.event)}
    return {
        "summary": operation.summary,
        "requestBody": {"required": True, "content": {JSON: {"schema": reference(operation.request)}}},
        "responses": {"200": answer, **_refusals(POST_REFUSALS, operation.error)},
    }


def _get(summary: str, answer: dict[str, Any], *more: int, mimetype: str = JSON) -> dict[str, Any]:
    responses = {"200": _answer("The answer", answer, mimetype), **_refusals((*GET_REFUSALS, *more), "Error")}
    return {"summary": summary, "responses": responses}


def _refusals(statuses: tuple[int, ...], error: str) -> dict[str, Any]:
    answers = {str(status): _answer(REFUSALS[status], reference(error)) for status in sorted(statuses)}
    if "503" in answers:
        answers["503"]["headers"] = RETRY_AFTER
    return answers


def _answer(description: str, schema: dict[str, Any], mimetype: str = JSON) -> dict[str, Any]:
    return {"description": description, "content": {mimetype: {"schema": schema}}}
