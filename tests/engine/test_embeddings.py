"""Embeddings of several kinds of models against llama.cpp by itself, and beside running chats."""

from __future__ import annotations

import base64
import math
import struct
from typing import TYPE_CHECKING, Any

import pytest

from packer.errors import InputError
from runtime.engine.sequence import TextDelta
from tests.support import reference
from tests.support.made_models import made_model
from tests.support.real_engine import whole_reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts
    from tests.support.real_engine import RealEngine

TEXTS = ["Hello there", "good morning model", "the water of the day " * 20, "x"]
MEAN, LAST = 1, 3
CLOSE = 0.999


def cosine(left: list[float], right: list[float]) -> float:
    dot = math.fsum(a * b for a, b in zip(left, right, strict=True))
    return dot / math.sqrt(math.fsum(a * a for a in left) * math.fsum(b * b for b in right))


def embed(real: RealEngine, **fields: Any) -> Any:
    answer = real.client().post("/v1/embeddings", json=fields)
    assert answer.status_code == 200, answer.get_data()
    return answer.get_json()


def refused(real: RealEngine, path: str = "/v1/embeddings", **fields: Any) -> Any:
    answer = real.client().post(path, json=fields)
    assert answer.status_code == 400, answer.get_data()
    return answer.get_json()["error"]


@pytest.mark.parametrize(
    ("architecture", "pooling"),
    [("bert", MEAN), ("nomic-bert", MEAN), ("qwen3", LAST), ("llama", MEAN), ("gemma3", MEAN), ("mamba", MEAN)],
)
def test_vectors_are_those_of_llama_cpp(
    open_engine: Callable[..., RealEngine],
    runtime_parts: RuntimeParts,
    tiny_model: Path,
    architecture: str,
    pooling: int,
) -> None:
    model = tiny_model if architecture == "llama" else made_model(runtime_parts, architecture)
    real = open_engine(model)
    found = embed(real, input=TEXTS)
    inputs = [real.encoder.tokenize(text, add_special=True, parse_special=True) for text in TEXTS]
    expected = reference.embeddings(runtime_parts, model, inputs, pooling)
    assert [entry["index"] for entry in found["data"]] == [0, 1, 2, 3]
    for entry, vector in zip(found["data"], expected, strict=True):
        assert cosine(entry["embedding"], vector) > CLOSE
        assert math.fsum(value * value for value in entry["embedding"]) == pytest.approx(1, abs=1e-5)
    total = sum(map(len, inputs))
    assert found["usage"] == {"prompt_tokens": total, "total_tokens": total}


def test_different_texts_get_different_vectors(open_engine: Callable[..., RealEngine]) -> None:
    vectors = [entry["embedding"] for entry in embed(open_engine(), input=TEXTS)["data"]]
    assert max(cosine(vectors[i], vectors[j]) for i in range(4) for j in range(i)) < CLOSE


def test_a_long_text_is_read_in_pieces(
    open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts, tiny_model: Path
) -> None:
    real = open_engine()
    tokens = [real.encoder.encode_text("the")[-1]] * 200 + [real.encoder.encode_text("water")[-1]] * 200
    assert real.engine._runner is not None
    assert real.engine._runner.embedder is not None
    assert real.engine._runner.embedder.batch_tokens < len(tokens)
    (entry,) = embed(real, input=tokens)["data"]
    (expected,) = reference.embeddings(runtime_parts, tiny_model, [tokens], MEAN)
    assert cosine(entry["embedding"], expected) > CLOSE


def test_formats_and_kinds_of_input(open_engine: Callable[..., RealEngine]) -> None:
    real = open_engine()
    (plain,) = embed(real, input="Hello")["data"]
    (packed,) = embed(real, input=["Hello"], encoding_format="base64")["data"]
    (tokens,) = embed(real, input=real.encoder.encode_text("Hello"), dimensions=128)["data"]
    assert list(struct.unpack("<128f", base64.b64decode(packed["embedding"]))) == pytest.approx(plain["embedding"])
    assert tokens["embedding"] == pytest.approx(plain["embedding"])
    (short,) = embed(real, input="Hello", dimensions=3, encoding_format="base64")["data"]
    length = math.hypot(*plain["embedding"][:3])
    cut = [number / length for number in plain["embedding"][:3]]
    assert list(struct.unpack("<3f", base64.b64decode(short["embedding"]))) == pytest.approx(cut)


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({}, "input", "nothing"),
        ({"input": ""}, "input", "empty"),
        ({"input": []}, "input", "found 0"),
        ({"input": ["a", ""]}, "input", "empty"),
        ({"input": [1, "a"]}, "input", "tokens"),
        ({"input": {"a": 1}}, "input", "object"),
        ({"input": [1, 10**6]}, "input", "found 1000000"),
        ({"input": [-1]}, "input", "found -1"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", "float, base64"),
        ({"input": "a", "dimensions": 129}, "dimensions", "128 numbers"),
        ({"input": "a", "dimensions": 0}, "dimensions", "at least 1"),
        ({"input": ["a"] * 2049}, "input", "found 2049"),
        ({"input": ["a", "the " * 600]}, "input", "input 1 is"),
    ],
)
def test_what_is_refused(
    open_engine: Callable[..., RealEngine], fields: dict[str, Any], param: str, words: str
) -> None:
    error = refused(open_engine(), **fields)
    assert error["param"] == param
    assert words in error["message"]


def test_embeddings_and_chats_side_by_side(open_engine: Callable[..., RealEngine]) -> None:
    """Both give what they give alone, and the chat goes on while the texts are embedded."""
    real = open_engine(context_size=1024)
    alone = real.generate("Hello", max_tokens=400).finished.token_ids
    vectors = [entry["embedding"] for entry in embed(real, input=TEXTS)["data"]]
    stream = real.submit("Hello", max_tokens=400)
    assert isinstance(stream.poll(10), TextDelta)
    again = [entry["embedding"] for entry in embed(real, input=TEXTS)["data"]]
    assert real.engine.current_load().num_running == 1
    assert whole_reply(stream).finished.token_ids == alone
    for before, after in zip(vectors, again, strict=True):
        assert cosine(before, after) > CLOSE


def test_a_model_that_only_embeds_refuses_to_chat(
    open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts
) -> None:
    real = open_engine(made_model(runtime_parts, "bert"))
    messages = [{"role": "user", "content": "hi"}]
    for path, fields in (
        ("/v1/chat/completions", {"messages": messages}),
        ("/v1/completions", {"prompt": "hi"}),
        ("/v1/responses", {"input": "hi"}),
    ):
        error = refused(real, path, **fields)
        assert "/v1/embeddings" in error["message"]
        assert error["code"] == "embedding_model"
    assert real.client().post("/v1/messages", json={"messages": messages, "max_tokens": 5}).status_code == 400


def test_a_reranker_is_refused(open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts) -> None:
    with pytest.raises(InputError, match="ranks texts"):
        open_engine(made_model(runtime_parts, "bert", pooling_type=4))


def test_a_cancelled_job_leaves_the_others_alone(open_engine: Callable[..., RealEngine]) -> None:
    real = open_engine()
    tokens = real.encoder.encode_text("the water of the day " * 20)
    first, second = real.engine.embed([tokens] * 500), real.engine.embed([tokens])
    first.cancel()
    vectors = second.poll(20)
    assert vectors is not None
    assert len(vectors) == 1
