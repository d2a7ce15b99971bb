"""What stands for pictures in prompts, and how the steps treat them, without a model."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import pytest

from packer.errors import InputError
from runtime.engine.kv_cache import KvCache
from runtime.engine.pictures import Positions, PromptPicture, stand_ins, whole_pictures
from runtime.engine.sampling import SamplingParams
from runtime.engine.scheduler import plan_step
from runtime.engine.sequence import GenerationRequest, RequestHandle, Sequence
from runtime.engine.step_costs import StepCosts
from runtime.pictures import (
    MAX_PICTURE_BYTES,
    PictureReader,
    marks_of,
    picture_from_base64,
    picture_from_url,
    picture_part,
)


@dataclass(frozen=True, kw_only=True)
class Rows:
    num_tokens: int = 6
    num_positions: int = 6
    is_non_causal: bool = False


RED, BLUE = stand_ins(b"red", 0, 6), stand_ins(b"blue", 0, 6)


def sequence(order: int, before: int, rows: Rows | None, after: int) -> Sequence:
    tokens = [1] * before + (stand_ins(b"x", 0, rows.num_tokens) if rows else []) + [2] * after
    pictures = (PromptPicture(start=before, rows=rows),) if rows else ()
    request = GenerationRequest(prompt_tokens=tuple(tokens), sampling=SamplingParams(), pictures=pictures)
    return Sequence.from_request(request, RequestHandle(), order)


def test_equal_pictures_share_and_different_ones_do_not() -> None:
    assert stand_ins(b"red", 0, 6) == RED
    assert not set(RED) & set(BLUE)
    assert not set(RED) & set(stand_ins(b"red", 1, 6))
    assert all(one < 0 for one in RED)
    cache = KvCache(64, 4)
    cache_id = cache.claim()
    assert cache_id is not None
    cache.extend(cache_id, [1, 2, *RED, 3])
    for tokens, shared in (
        ([1, 2, *RED, 3, 4], 9),
        ([1, 2, *BLUE, 3, 4], 2),
        ([1, 2, *RED, 9, 4], 8),
        ([1, 2, *RED], 2),
    ):
        match = cache.best_match(tokens)
        assert match is not None
        assert match.num_tokens == shared


@pytest.mark.parametrize(("length", "whole"), [(0, 0), (2, 2), (3, 2), (7, 2), (8, 8), (9, 9)])
def test_no_picture_is_cut(length: int, whole: int) -> None:
    assert whole_pictures([1, 2, *RED, 3], length) == whole


def test_positions_behind_rows_of_several_dimensions() -> None:
    positions = Positions()
    positions.add(3, PromptPicture(start=4, rows=Rows(num_tokens=12, num_positions=4)))
    assert [positions.of(3, index) for index in (0, 4, 16, 20)] == [0, 4, 8, 12]
    positions.copy(3, 5, 18)
    positions.cut(3, 4)
    assert (positions.of(3, 16), positions.of(5, 16)) == (16, 8)
    positions.copy(5, 6, 2)
    assert positions.of(6, 16) == 16


def test_a_picture_is_a_step_of_its_own_and_streams_have_one_between_two() -> None:
    costs = StepCosts()
    seeing, other = sequence(0, 3, Rows(), 2), sequence(1, 0, None, 1)
    (first, stream) = sorted(plan_step([seeing, other], costs, 100), key=lambda part: part.sequence.order)
    assert (first.num_tokens, first.picture, stream.num_tokens) == (3, None, 1)
    seeing.num_computed, seeing.last_step, other.last_step = 3, 1, 1
    (part,) = plan_step([seeing, other], costs, 4)
    assert (part.position, part.num_tokens, part.picture) == (3, 6, seeing.request.pictures[0])
    next_one = sequence(2, 0, Rows(), 1)
    seeing.num_computed, seeing.last_step = 9, 2
    assert all(part.picture is None for part in plan_step([seeing, other, next_one], costs, 100))
    other.last_step = 3
    (part,) = plan_step([seeing, other, next_one], costs, 100)
    assert part.sequence is next_one


def test_pictures_in_messages() -> None:
    part = picture_from_url("data:image/png;base64," + base64.b64encode(b"abc").decode())
    (mark,) = marks_of([{"role": "user", "content": [part, {"type": "text", "text": "x"}]}])
    assert mark.content == b"abc"
    with pytest.raises(InputError, match="at most 32"):
        marks_of([{"role": "user", "content": [part] * 33}])


@pytest.mark.parametrize("text", ["", "====", "a" * (MAX_PICTURE_BYTES * 4 // 3 + 8), "not base64"])
def test_what_is_no_picture_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="picture"):
        picture_from_base64(text)


@pytest.mark.parametrize("url", ["http://example.com/x.png", "file:///etc/passwd", "data:text/html;base64,QQ=="])
def test_addresses_are_not_fetched(url: str) -> None:
    with pytest.raises(InputError, match="data URL"):
        picture_from_url(url)


class FailingProjector:
    """Fails on every picture with the error that is its content's."""

    def read(self, content: bytes) -> NoReturn:
        raise InputError("no picture") if content == b"broken" else OSError("exception: access violation")


@pytest.mark.parametrize(("content", "heard"), [(b"broken", 0), (b"sound", 1)])
def test_only_an_error_that_no_picture_explains_is_a_failure(content: bytes, heard: int) -> None:
    failures: list[Exception] = []
    reader = PictureReader(cast("Any", FailingProjector()), on_failure=failures.append)
    mark = picture_part(content)["text"]
    with pytest.raises((InputError, OSError)) as raised:
        reader.encode(str(mark), [mark], lambda _text: [], lambda _text: [])
    assert failures == [raised.value] * heard
