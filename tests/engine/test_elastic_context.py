"""A real KV cache that grows: the same greedy tokens as one that began at its last size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.engine.sampling import SamplingParams
from runtime.engine.sequence import Finished, GenerationRequest
from runtime.llama.context import Context
from runtime.llama.errors import DecodeError
from runtime.llama.model import ModelFile, load_model
from tests.support.tiny_model import EOS_ID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.llama.library import Library
    from tests.support.real_engine import RealEngine

NO_END = ((EOS_ID, -1e9), (2, -1e9))
GREEDY = SamplingParams(temperature=0.0, logit_bias=NO_END)


def greedy(real: RealEngine, prompt: list[int], count: int) -> list[int]:
    """The first ``count`` tokens, however likely an end is."""
    request = GenerationRequest(prompt_tokens=tuple(prompt), sampling=GREEDY, max_tokens=count)
    last = list(real.engine.submit(request).events())[-1]
    assert isinstance(last, Finished), last
    return list(last.token_ids)


def test_growing_through_three_sizes_gives_the_same_tokens(open_engine: Callable[..., RealEngine]) -> None:
    prompt = [1, *range(300, 450)]
    small = open_engine(context_size=2048, first_cells=256)
    grown = greedy(small, prompt, 800)
    assert len(grown) == 800
    assert small.engine.current_load().num_cells == 1280, "256, 512, 768, 1280 cells"
    large = open_engine(context_size=2048, first_cells=2048)
    assert large.engine.current_load().num_cells == 2048
    assert greedy(large, prompt, 800) == grown


@pytest.mark.parametrize("first_cells", [256, 2048])
def test_shared_beginnings_outlive_a_move(open_engine: Callable[..., RealEngine], first_cells: int) -> None:
    real = open_engine(context_size=2048, first_cells=first_cells)
    beginning = [1, *range(300, 400)]
    for number in range(4):
        greedy(real, [*beginning, 401 + number], 60)
    request = GenerationRequest(prompt_tokens=(*beginning, 402, 403), sampling=GREEDY, max_tokens=4)
    last = list(real.engine.submit(request).events())[-1]
    assert isinstance(last, Finished)
    assert last.usage.num_reused_tokens >= len(beginning)


class _WithoutMemory:
    """llama.cpp's API on a machine where no further context finds room."""

    def __init__(self, api: object) -> None:
        self._api = api

    def __getattr__(self, name: str) -> object:
        return (lambda *_given: None) if name == "llama_init_from_model" else getattr(self._api, name)


def test_a_cache_that_can_neither_grow_nor_be_put_back_ends_the_engine(library: Library, tiny_model: Path) -> None:
    """Another program took the memory between the old cache and the new one: there is none to go on with."""
    model = load_model(library, ModelFile(path=tiny_model))
    context = Context(model, num_tokens=256, batch_tokens=32, num_threads=1)
    context._api = _WithoutMemory(context._api)
    with pytest.raises(DecodeError, match=r"could neither grow nor be put back: a context of 256 tokens"):
        context.resize(512)
    model.close()
