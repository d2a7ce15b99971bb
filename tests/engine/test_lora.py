"""LoRA adapters against the same weights merged beforehand: same likeliest tokens, same log probabilities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from packer.errors import InputError
from runtime.llama.model import AdapterFile, ModelFile
from tests.support import reference
from tests.support.adapters import write_adapter, write_merged
from tests.support.made_models import made_model
from tests.support.real_engine import whole_reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts
    from tests.support.real_engine import RealEngine

PROMPT = "Hello there"
TOLERANCE = 0.06
"""Processors with other instructions round other halves."""


@pytest.fixture
def base(runtime_parts: RuntimeParts) -> Path:
    return made_model(runtime_parts, "llama")


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    write_adapter(tmp_path / "adapter.gguf", base)
    return tmp_path / "adapter.gguf"


def adapter_file(path: Path, scale: float = 1.0, offset_bytes: int | None = None) -> AdapterFile:
    return AdapterFile(file=ModelFile(path=path, offset_bytes=offset_bytes), name=path.stem, scale=scale)


def check_equal(real: RealEngine, parts: RuntimeParts, merged: Path) -> list[int]:
    """Compare what ``real`` says of each token with the logits of ``merged``; return the tokens."""
    prompt = real.encoder.encode_text(PROMPT)
    reply = real.generate(prompt, max_tokens=10, top_logprobs=5)
    tokens = list(reply.finished.token_ids)
    rows = reference.logits_after_each(parts, merged, prompt + tokens[:-1])[len(prompt) - 1 :]
    for found, row in zip(reply.logprobs, rows, strict=True):
        total = math.log(math.fsum(math.exp(value) for value in row))
        for one in (found.chosen, *found.top):
            assert one.logprob == pytest.approx(row[one.token] - total, abs=TOLERANCE)
    return tokens


@pytest.mark.parametrize("scale", [1.0, 0.5, -1.0])
def test_an_adapter_is_as_good_as_merged(
    open_engine: Callable[..., RealEngine],
    runtime_parts: RuntimeParts,
    base: Path,
    adapter: Path,
    tmp_path: Path,
    scale: float,
) -> None:
    write_merged(tmp_path / "merged.gguf", base, [(adapter, scale)])
    adapted = open_engine(base, adapters=[adapter_file(adapter, scale)])
    tokens = check_equal(adapted, runtime_parts, tmp_path / "merged.gguf")
    assert tokens != list(open_engine(base).generate(PROMPT, max_tokens=10).finished.token_ids)


def test_several_adapters_add_up(
    open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts, base: Path, adapter: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second.gguf"
    write_adapter(second, base, seed=4)
    write_merged(tmp_path / "merged.gguf", base, [(adapter, 1.0), (second, 0.5)])
    real = open_engine(base, adapters=[adapter_file(adapter), adapter_file(second, 0.5)])
    check_equal(real, runtime_parts, tmp_path / "merged.gguf")


def test_an_adapter_inside_a_larger_file(
    open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts, base: Path, adapter: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(65536) + adapter.read_bytes() + b"more")
    write_merged(tmp_path / "merged.gguf", base, [(adapter, 1.0)])
    real = open_engine(base, adapters=[adapter_file(large, offset_bytes=65536)])
    check_equal(real, runtime_parts, tmp_path / "merged.gguf")


def test_embeddings_are_adapted_too(open_engine: Callable[..., RealEngine], base: Path, adapter: Path) -> None:
    vectors = []
    for adapters in ([], [adapter_file(adapter)]):
        answer = open_engine(base, adapters=adapters).client().post("/v1/embeddings", json={"input": "Hello there"})
        vectors.append(answer.get_json()["data"][0]["embedding"])
    assert max(abs(left - right) for left, right in zip(*vectors, strict=True)) > 0.01


def test_one_for_another_architecture_is_refused(
    open_engine: Callable[..., RealEngine], base: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.gguf"
    write_adapter(path, base, architecture="qwen2")
    with pytest.raises(InputError, match=r"the adapter other can't be used .*mismatch"):
        open_engine(base, adapters=[adapter_file(path)])
    path.write_bytes(b"no gguf")
    with pytest.raises(InputError, match="the adapter other can't be used"):
        open_engine(base, adapters=[adapter_file(path)])


def test_requests_choose_their_adapters(
    open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts, base: Path, adapter: Path, tmp_path: Path
) -> None:
    """Side by side, in a cache that has to grow meanwhile; a prompt that was read with others is read again."""
    write_merged(tmp_path / "half.gguf", base, [(adapter, 0.5)])
    models = {"half": tmp_path / "half.gguf", "base": base}
    expected = {name: reference.greedy_token_ids(runtime_parts, path, PROMPT, 12) for name, path in models.items()}
    real = open_engine(base, adapters=[adapter_file(adapter)], context_size=2048)
    expected["full"] = list(real.generate(PROMPT, max_tokens=12).finished.token_ids)
    assert len({tuple(tokens) for tokens in expected.values()}) == 3
    prompt = tuple(real.encoder.encode_text(PROMPT))
    scales = {"half": (0.5,), "base": (0.0,), "full": ()}
    handles = [(name, real.submit(list(prompt), max_tokens=12, adapters=scales[name])) for name in [*scales] * 3]
    for name, handle in handles:
        assert list(whole_reply(handle).finished.token_ids) == expected[name]
    long = list(prompt) + [prompt[-1]] * 600
    reused = [
        real.generate(long, max_tokens=8, adapters=one).finished.usage.num_reused_tokens
        for one in ((0.25,), (0.25,), (0.125,), ())
    ]
    assert reused == [0, len(long) - 1, 0, len(prompt)]


def test_the_api_offers_the_adapters(open_engine: Callable[..., RealEngine], base: Path, adapter: Path) -> None:
    client = open_engine(base, adapters=[adapter_file(adapter, 0.5)]).client()
    assert client.get("/lora-adapters").get_json() == [{"id": 0, "name": "adapter", "scale": 0.5}]
    body = {"prompt": PROMPT, "max_tokens": 12, "temperature": 0}

    def said(**more: object) -> str:
        return str(client.post("/v1/completions", json={**body, **more}).get_json()["choices"][0]["text"])

    assert said() == said(lora=[{"name": "adapter", "scale": 0.5}]) == said(lora=[{"id": 0, "scale": 0.5}])
    assert len({said(), said(lora=[]), said(lora=[{"id": 0}])}) == 3
    refused = client.post("/v1/completions", json={**body, "lora": [{"name": "other"}]})
    assert refused.status_code == 400
    assert refused.get_json()["error"]["message"] == (
        "lora: there is no adapter 'other'; this model's are 0 ('adapter')"
    )
    for path, field in (("/v1/messages", "max_tokens"), ("/v1/responses", "max_output_tokens")):
        asked = {"messages": [{"role": "user", "content": PROMPT}], "input": PROMPT, field: 9, "lora": [{"id": 1}]}
        assert "there is no adapter 1" in client.post(path, json=asked).get_json()["error"]["message"]
