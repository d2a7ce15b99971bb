"""Parts of operations in the words of OpenAPI: answers, and every refusal by its status."""

from __future__ import annotations

from typing import Any

from runtime.api.openapi_parts import Schema, reference

JSON = "application/json"
REFUSALS = {
    400: "A field is wrong, or the prompt is too long; the message says which and why",
    403: "The Host or Origin header is not this machine's own, or this run keeps nothing",
    404: "There is no such thing",
    413: "The request is too large",
    415: "The Content-Type is not application/json",
    500: "The program failed; its terminal shows more",
    503: "Not now: the model is loading, the queue is full or the program is ending; try again",
    507: "The disk is full",
}
RETRY_AFTER = {"Retry-After": {"description": "seconds", "required": True, "schema": {"type": "integer"}}}


def answer(description: str, schema: Schema, mimetype: str = JSON) -> dict[str, Any]:
    """Describe an answer with a body."""
    return {"description": description, "content": {mimetype: {"schema": schema}}}


def refusals(statuses: tuple[int, ...], error: str = "Error") -> dict[str, Any]:
    """Describe the answers that refuse; ``error`` names the schema of their bodies."""
    answers = {str(status): answer(REFUSALS[status], reference(error)) for status in sorted(statuses)}
    if "503" in answers:
        answers["503"]["headers"] = RETRY_AFTER
    return answers


def json_body(request: str) -> dict[str, Any]:
    """Describe the body that a request must have."""
    return {"required": True, "content": {JSON: {"schema": reference(request)}}}
