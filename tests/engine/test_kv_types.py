"""KV caches in other formats: nearly the same logits, less memory, and a clear refusal where the shape forbids one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from packer.errors import InputError
from tests.support.made_models import made_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts
    from tests.support.real_engine import RealEngine

PROMPT = "the water of the day is good "


@pytest.mark.parametrize(("kv_type", "tolerance"), [("q8_0", 0.5), ("q4_0", 2.0)])
def test_a_quantized_cache_gives_nearly_the_same(
    open_engine: Callable[..., RealEngine], kv_type: str, tolerance: float
) -> None:
    plain, packed = open_engine(), open_engine(kv_type=kv_type)
    tokens = plain.encoder.encode_text(PROMPT * 10)
    (expected,) = plain.generate(tokens, max_tokens=1, top_logprobs=5).logprobs
    (found,) = packed.generate(tokens, max_tokens=1, top_logprobs=20).logprobs
    by_token = {one.token: one.logprob for one in found.top}
    for one in expected.top[:3]:
        assert by_token[one.token] == pytest.approx(one.logprob, abs=tolerance)
    assert by_token != {one.token: one.logprob for one in expected.top}, "the cache is not quantized at all"


def test_it_takes_less_memory(open_engine: Callable[..., RealEngine]) -> None:
    sizes = {}
    for kv_type in ("f16", "q8_0", "q4_0"):
        runner = open_engine(kv_type=kv_type).engine._runner
        assert runner is not None
        sizes[kv_type] = runner.model.kv_bytes_per_token(kv_type)  # type: ignore[attr-defined]
    values = 4 * 2 * (32 + 32)
    assert sizes == {"f16": values * 2, "q8_0": values * 34 // 32, "q4_0": values * 18 // 32}


def test_a_shape_that_does_not_fit_is_refused(
    open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts
) -> None:
    model: Path = made_model(runtime_parts, "llama", embedding_length=80, rope__dimension_count=20)
    assert open_engine(model).generate("Hello", max_tokens=2).finished.usage.num_generated_tokens == 2
    with pytest.raises(InputError, match="blocks of 32 numbers, and the keys of this model's attention heads have 20"):
        open_engine(model, kv_type="q8_0")


def test_models_without_attention_have_nothing_to_quantize(
    open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts
) -> None:
    model = made_model(runtime_parts, "mamba")
    expected = open_engine(model).generate("Hello", max_tokens=5).finished.token_ids
    assert open_engine(model, kv_type="q4_0").generate("Hello", max_tokens=5).finished.token_ids == expected
