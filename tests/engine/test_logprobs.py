"""Log probabilities against the softmax of the logits that llama.cpp itself gives for the same tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from runtime.engine.sampling import SamplingParams
from tests.support import reference

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts
    from tests.support.real_engine import RealEngine

PROMPT = "Hello there"
TOLERANCE = 0.02
"""The reference reads one token at a time and we read batches, so the sums are rounded differently."""


def log_softmax(row: list[float]) -> list[float]:
    largest = max(row)
    total = largest + math.log(math.fsum(math.exp(value - largest) for value in row))
    return [value - total for value in row]


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 0.0},
        {"temperature": 1.5, "seed": 3},
        {"temperature": 1.0, "seed": 4, "logit_bias": ((400, 30.0),), "repeat_penalty": 1.3},
        {"temperature": 1.0, "seed": 5, "grammar": "root ::= [a-z ]+"},
    ],
    ids=["greedy", "hot", "biased", "grammar"],
)
def test_they_are_those_of_the_raw_logits(
    open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts, tiny_model: Path, sampling: dict[str, Any]
) -> None:
    real = open_engine()
    prompt = real.encoder.encode_text(PROMPT)
    reply = real.generate(prompt, sampling=SamplingParams(**sampling), max_tokens=8, top_logprobs=5)
    tokens = list(reply.finished.token_ids)
    assert [one.chosen.token for one in reply.logprobs] == tokens
    rows = reference.logits_after_each(runtime_parts, tiny_model, prompt + tokens[:-1])[len(prompt) - 1 :]
    for found, row in zip(reply.logprobs, map(log_softmax, rows), strict=True):
        assert found.chosen.logprob == pytest.approx(row[found.chosen.token], abs=TOLERANCE)
        assert [one.logprob for one in found.top] == pytest.approx(sorted(row)[:-6:-1], abs=TOLERANCE)
        for one in found.top:
            assert one.logprob == pytest.approx(row[one.token], abs=TOLERANCE)


def test_asking_for_them_does_not_change_the_reply(open_engine: Callable[..., RealEngine]) -> None:
    real = open_engine()
    sampling = SamplingParams(temperature=1.0, seed=9)
    plain = real.generate(PROMPT, sampling=sampling, max_tokens=20)
    asked = real.generate(PROMPT, sampling=sampling, max_tokens=20, top_logprobs=20)
    assert asked.finished.token_ids == plain.finished.token_ids
    assert [len(one.top) for one in asked.logprobs] == [20] * len(asked.logprobs)
    assert not plain.logprobs


def test_streams_with_and_without_run_side_by_side(open_engine: Callable[..., RealEngine]) -> None:
    real = open_engine(context_size=1024)
    answer = real.client().post(
        "/v1/chat/completions",
        json={
            "messages": [{"role": "user", "content": PROMPT}],
            "n": 3,
            "logprobs": True,
            "top_logprobs": 2,
            "max_tokens": 12,
            "seed": 1,
        },
    )
    for choice in answer.get_json()["choices"]:
        content = choice["logprobs"]["content"]
        text = b"".join(bytes(entry["bytes"]) for entry in content).decode("utf-8", "replace")
        assert text == choice["message"]["content"]
        assert all(entry["logprob"] <= 0 for entry in content)
        assert all(first["logprob"] >= second["logprob"] for first, second in (e["top_logprobs"] for e in content))
