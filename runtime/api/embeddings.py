"""``POST /v1/embeddings``: texts as vectors of length 1, for embedding models and for chat models.

Source: OpenAI API reference, "Create embeddings". A vector is pooled as the model's metadata say, by the mean where
they say nothing. With ``dimensions`` vectors are cut and brought to length 1 again, as OpenAI's are; that keeps
their meaning with models that were trained for it (Kusupati et al., "Matryoshka Representation Learning", 2022).
"""

from __future__ import annotations

import base64
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify

from packer.errors import PackerError
from runtime.api.context import chat_service, client_gone, json_body
from runtime.api.errors import ApiError, api_error
from runtime.api.fields import choice, integer, text, whole_list, wrong
from runtime.api.replies import POLL_S, ClientGoneError, require_ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.engine.embedding import EmbeddingHandle, Vector

MAX_INPUTS = 2048
FORMATS = ("float", "base64")
Input = str | list[int]


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("embeddings", __name__)
    blueprint.post("/v1/embeddings")(create_embeddings)
    return blueprint


@dataclass(frozen=True, kw_only=True)
class ParsedEmbeddings:
    """A checked request."""

    inputs: list[Input]
    encoding: str
    dimensions: int | None


def parse_embeddings(document: dict[str, Any]) -> ParsedEmbeddings:
    """Check ``document``. Raises ApiError 400 that names the field, what was expected and what was found."""
    text(document, "model")
    text(document, "user")
    return ParsedEmbeddings(
        inputs=_read_inputs(document.get("input")),
        encoding=choice(document, "encoding_format", FORMATS) or "float",
        dimensions=integer(document, "dimensions", 1),
    )


def _read_inputs(found: Any) -> list[Input]:
    """Read a text, a list of tokens, or a list of either."""
    if isinstance(found, str) or whole_list(found):
        found = [found]
    expected = "a string, a list of strings or a list of tokens"
    if not isinstance(found, list):
        raise wrong("input", expected, found)
    if not 1 <= len(found) <= MAX_INPUTS:
        raise ApiError(400, f"input: expected 1 to {MAX_INPUTS} inputs, found {len(found)}", param="input")
    inputs: list[Input] = []
    for entry in found:
        read = entry if isinstance(entry, str) else whole_list(entry)
        if read is None:
            raise wrong("input", expected, entry)
        if not read:
            raise ApiError(400, "input: an empty input has no meaning to embed", param="input")
        inputs.append(read)
    return inputs


def create_embeddings() -> Response:
    """Answer with one vector for each input."""
    parsed = parse_embeddings(json_body())
    gone = client_gone()
    require_ready(gone)
    try:
        inputs = _tokens(parsed.inputs)
        _check_dimensions(parsed.dimensions)
        vectors = [shortened(vector, parsed.dimensions) for vector in _wait(chat_service().engine.embed(inputs), gone)]
    except PackerError as error:
        raise api_error(error, "input") from error
    num_tokens = sum(map(len, inputs))
    return jsonify(
        object="list",
        data=[
            {"object": "embedding", "index": index, "embedding": encoded(vector, parsed.encoding)}
            for index, vector in enumerate(vectors)
        ],
        model=chat_service().facts.model_name,
        usage={"prompt_tokens": num_tokens, "total_tokens": num_tokens},
    )


def _tokens(inputs: list[Input]) -> list[list[int]]:
    """Tokenize texts with the tokens that the model wants around them; check tokens. Raises ApiError."""
    encoder = chat_service().require_encoder()
    count = encoder.token_groups().count
    found = []
    for entry in inputs:
        tokens = encoder.tokenize(entry, add_special=True, parse_special=True) if isinstance(entry, str) else entry
        for token in tokens if tokens is entry else ():
            if not 0 <= token < count:
                raise ApiError(400, f"input: this model's tokens are 0 to {count - 1}, found {token}", param="input")
        if not tokens:
            raise ApiError(400, "input: a text without tokens has no meaning to embed", param="input")
        found.append(list(tokens))
    return found


def _check_dimensions(wanted: int | None) -> None:
    known = chat_service().engine.num_dimensions
    if wanted is not None and wanted > known:
        raise ApiError(
            400, f"dimensions: this model's vectors have {known} numbers, found {wanted}", param="dimensions"
        )


def _wait(handle: EmbeddingHandle, gone: Callable[[], bool]) -> list[Vector]:
    """Wait for the vectors. Raises ClientGoneError, with the job cancelled, when nobody waits for them any more."""
    while not gone():
        vectors = handle.poll(POLL_S)
        if vectors is not None:
            return vectors
    handle.cancel()
    raise ClientGoneError


def shortened(vector: Vector, num_dimensions: int | None) -> Vector:
    """Return the first numbers of a vector, at length 1 again; one of zeros stays as it is."""
    if num_dimensions in {None, len(vector)}:
        return vector
    kept = vector[:num_dimensions]
    length = math.hypot(*kept)
    return [number / length for number in kept] if length else kept


def encoded(vector: Vector, encoding: str) -> list[float] | str:
    """Return a vector as a list, or as base64 of little-endian 32-bit floats."""
    if encoding == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
    return vector
