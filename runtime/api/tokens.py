"""``POST /tokenize``, ``/detokenize`` and ``/apply-template``, with the fields of llama.cpp's server."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from packer.errors import InputError
from runtime.api.chat_request import read_messages, read_options
from runtime.api.context import chat_service, json_body
from runtime.api.errors import ApiError
from runtime.api.fields import flag, whole_list, wrong
from runtime.api.replies import require_ready
from runtime.chat_service import ChatRequest
from runtime.pictures import marks_of

MAX_TOKENS = 1 << 20


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("tokens", __name__)
    blueprint.post("/tokenize")(tokenize)
    blueprint.post("/detokenize")(detokenize)
    blueprint.post("/apply-template")(apply_template)
    return blueprint


def tokenize() -> Response:
    """Answer with the tokens of ``content``; with ``with_pieces`` each with its text, or bytes if it is none."""
    document = json_body()
    content = document.get("content")
    if not isinstance(content, str):
        raise wrong("content", "a string", content)
    add_special, with_pieces = flag(document, "add_special"), flag(document, "with_pieces")
    parse_special = document.get("parse_special") is None or flag(document, "parse_special")
    require_ready()
    encoder = chat_service().require_encoder()
    tokens = encoder.tokenize(content, add_special=add_special, parse_special=parse_special)
    if not with_pieces:
        return jsonify(tokens=tokens)
    pieces = [(token, encoder.token_bytes(token, special=True)) for token in tokens]
    return jsonify(tokens=[{"id": token, "piece": _piece(data)} for token, data in pieces])


def _piece(data: bytes) -> str | list[int]:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return list(data)


def detokenize() -> Response:
    """Answer with the text of ``tokens``, names of control tokens included."""
    tokens = _tokens(json_body())
    require_ready()
    encoder = chat_service().require_encoder()
    try:
        data = b"".join(encoder.token_bytes(token, special=True) for token in tokens)
    except InputError as error:
        raise ApiError(400, f"tokens: {error}", param="tokens") from error
    return jsonify(content=data.decode("utf-8", "replace"))


def _tokens(document: dict[str, Any]) -> list[int]:
    tokens = whole_list(document.get("tokens"))
    if tokens is None:
        raise wrong("tokens", "a list of whole numbers", document.get("tokens"))
    if len(tokens) > MAX_TOKENS:
        raise ApiError(400, f"tokens: expected at most {MAX_TOKENS}, found {len(tokens)}", param="tokens")
    return tokens


def apply_template() -> Response:
    """Answer with the prompt of a chat request: its ``messages`` and tools, this file's system prompt included."""
    document = json_body()
    request = ChatRequest(messages=read_messages(document), template=read_options(document))
    require_ready()
    if marks_of(request.messages):
        raise ApiError(400, "messages: a prompt with pictures can't be shown as text", param="messages")
    return jsonify(prompt=chat_service().plan_chat(request).prompt)
