"""Errors as OpenAI's API shapes them: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from packer.errors import InputError, PackerError
from runtime.chat_service import FieldRefusedError, GrammarRefusedError
from runtime.engine.errors import (
    EmbeddingOnlyError,
    EngineStoppedError,
    GenerationFailedError,
    InputTooLongError,
    NoEmbeddingsError,
    PromptTooLongError,
    QueueFullError,
    ReplyTooLongError,
)
from runtime.pictures import NoPicturesError

if TYPE_CHECKING:
    from flask import Flask

_LOG = logging.getLogger(__name__)

RETRY_AFTER_S = 5
SERVER_ERROR = 500
HINTS = {
    404: "there is nothing at this address; the API is at /v1/chat/completions and /v1/models, the page at /",
    413: "the request is too large: the limit is 16 MiB",
}


class ApiError(Exception):
    """A request that is answered with an HTTP error; ``param`` names the field at fault."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """Keep what the answer will say."""
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s

    def document(self) -> dict[str, Any]:
        """Return the JSON body."""
        kind = "server_error" if self.status >= SERVER_ERROR else "invalid_request_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """Return the whole answer."""
        response = jsonify(self.document())
        response.status_code = self.status
        if self.retry_after_s is not None:
            response.headers["Retry-After"] = str(self.retry_after_s)
        return response


def api_error(error: Exception, prompt_field: str = "messages") -> ApiError:
    """Translate what the engine or the service raised; ``prompt_field`` is at fault when the prompt is."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, PromptTooLongError):
        return ApiError(400, str(error), param=prompt_field, code="context_length_exceeded")
    if isinstance(error, ReplyTooLongError):
        return ApiError(400, str(error), param="max_tokens", code="context_length_exceeded")
    if isinstance(error, QueueFullError):
        return ApiError(503, str(error), code="queue_full", retry_after_s=RETRY_AFTER_S)
    if isinstance(error, EngineStoppedError):
        return ApiError(503, str(error), code="shutting_down", retry_after_s=RETRY_AFTER_S)
    if isinstance(error, GenerationFailedError):
        return ApiError(500, str(error), code="generation_failed")
    if isinstance(error, EmbeddingOnlyError):
        return ApiError(400, str(error), param="model", code="embedding_model")
    if isinstance(error, NoEmbeddingsError):
        return ApiError(400, str(error), param="model", code="no_embeddings")
    if isinstance(error, InputTooLongError):
        return ApiError(400, str(error), param=prompt_field, code="context_length_exceeded")
    if isinstance(error, GrammarRefusedError):
        return ApiError(400, str(error), param=error.field, code="invalid_grammar")
    if isinstance(error, FieldRefusedError):
        return ApiError(400, str(error), param=error.field)
    if isinstance(error, NoPicturesError):
        return ApiError(400, str(error), param=prompt_field, code="no_images")
    if isinstance(error, InputError):
        return ApiError(400, str(error), param=prompt_field)
    if isinstance(error, PackerError):
        return ApiError(503, str(error), code="unavailable", retry_after_s=RETRY_AFTER_S)
    _LOG.error("a request failed unexpectedly", exc_info=error)
    return ApiError(500, "the program failed unexpectedly; its terminal shows more", code="internal_error")


def install(app: Flask) -> None:
    """Make every error of ``app`` come out in OpenAI's shape."""
    app.register_error_handler(HTTPException, _handle_http)
    app.register_error_handler(Exception, lambda error: api_error(error).response())


def _handle_http(error: HTTPException) -> Response:
    status = error.code or SERVER_ERROR
    if isinstance(error, MethodNotAllowed):
        taken = [name for name in sorted(error.valid_methods or ()) if name not in {"HEAD", "OPTIONS"}]
        error.description = f"this address takes {' or '.join(taken)}, not {request.method}"
    message = HINTS.get(status) or error.description or error.name
    response = ApiError(status, message).response()
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response
