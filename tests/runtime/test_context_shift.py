"""What is dropped when a context is shifted, what the engine does with prompts that are too long, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.context_shift import can_shift, num_to_drop, shortened
from runtime.engine.engine import fitted
from runtime.engine.errors import PromptTooLongError, ReplyTooLongError
from runtime.engine.pictures import PromptPicture
from runtime.engine.sampling import SamplingParams
from runtime.engine.sequence import GenerationRequest
from tests.support.recording import record_requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from runtime.engine.engine import Engine


@dataclass(frozen=True, kw_only=True)
class Rows:
    num_tokens: int = 6
    num_positions: int = 6
    is_non_causal: bool = False


def request(num_prompt: int, **more: Any) -> GenerationRequest:
    return GenerationRequest(prompt_tokens=tuple(range(num_prompt)), sampling=SamplingParams(), **more)


@given(num_prompt=st.integers(1, 300), num_keep=st.integers(0, 60), context_tokens=st.integers(8, 120))
def test_a_shortened_prompt_fits_and_keeps_both_ends(num_prompt: int, num_keep: int, context_tokens: int) -> None:
    prompt = tuple(range(num_prompt))
    if not can_shift(num_keep, context_tokens):
        return
    found = shortened(prompt, num_keep, context_tokens)
    assert len(found) < context_tokens
    assert found[-1] == prompt[-1]
    if num_prompt < context_tokens:
        assert found == prompt
    else:
        assert found[:num_keep] == prompt[:num_keep]
        assert list(found) == sorted(set(found)), "a token is there twice or out of order"


def test_half_of_what_may_go_goes() -> None:
    assert [num_to_drop(64, keep) for keep in (0, 4, 62, 63, 64, 70)] == [32, 30, 1, 0, 0, 0]


def test_without_shifting_what_does_not_fit_is_refused() -> None:
    with pytest.raises(PromptTooLongError):
        fitted(request(64), 64, shifts=False)
    with pytest.raises(ReplyTooLongError):
        fitted(request(10, max_tokens=60, must_fit=True), 64, shifts=False)


def test_with_shifting_nothing_is() -> None:
    assert len(fitted(request(200, num_keep=4), 64, shifts=True).prompt_tokens) == 34
    assert fitted(request(10, max_tokens=600, must_fit=True), 64, shifts=True).max_tokens == 600


def test_a_beginning_that_leaves_no_room_is_refused_all_the_same() -> None:
    with pytest.raises(PromptTooLongError, match=r"200 tokens .* holds 64, .* its system prompt of 60 tokens;"):
        fitted(request(200, num_keep=60), 64, shifts=True)


@pytest.mark.parametrize("shifts", [True, False])
def test_pictures_are_named_where_they_are_in_the_way(shifts: bool) -> None:
    seen = request(200, pictures=(PromptPicture(start=5, rows=Rows()),))
    with pytest.raises(PromptTooLongError, match="200 tokens long and the context holds 64") as caught:
        fitted(seen, 64, shifts=shifts)
    assert ("because of its pictures" in str(caught.value)) == shifts
    assert fitted(seen, 201, shifts=shifts) == seen


@pytest.mark.parametrize("shift", [True, False])
def test_the_system_prompt_is_what_stays(
    engine: Engine, runner: Any, make_client: Callable[..., FlaskClient], shift: bool
) -> None:
    runner.can_shift = shift
    requests = record_requests(engine)
    client = make_client(engine, system_prompt="Be good.", context_shift=shift)
    turns = [{"role": "user", "content": "x" * 30}, {"role": "assistant", "content": "y" * 30}]
    answer = client.post("/v1/chat/completions", json={"messages": [*turns, {"role": "user", "content": "z"}]})
    assert answer.status_code == (200 if shift else 400)
    assert requests[0].num_keep == (len("Be good.") if shift else 0)
    if shift:
        read = [token for chunks in runner.steps for chunk in chunks for token in chunk.tokens]
        text = bytes(token - 1 for token in read).decode()
        assert text.startswith("Be good." + "y" * 27 + "z" + "hell")
        assert answer.get_json()["choices"][0]["message"]["content"] == "hello"
