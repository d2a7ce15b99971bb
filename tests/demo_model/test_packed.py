"""What the packed demonstration model answers at temperature 0: held-out questions and starters."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.demo_model.held_out import cases
from tests.support.program import CHECKOUT

if TYPE_CHECKING:
    from tests.demo_model.chats import Chats

SETTINGS = tomllib.loads((CHECKOUT / "packer" / "demo" / "demo.toml").read_text(encoding="utf-8"))
STARTERS = dict(
    zip(SETTINGS["chat"]["starters"], ("packer build your-model.gguf", "127.0.0.1", "small sums"), strict=True)
)


@pytest.mark.parametrize(("kind", "wanted"), [("question", 0.9), ("unknown", 0.9)])
def test_held_out_questions_are_answered(demo: Chats, kind: str, wanted: float) -> None:
    """Facts decide; every answer must end by itself."""
    asked = cases(kind)
    answers = demo.last_answers([case.turns for case in asked])
    failed = [(case.turns[-1], answer) for case, answer in zip(asked, answers, strict=True) if not case.met_by(answer)]
    assert 1 - len(failed) / len(asked) >= wanted, failed


def test_it_answers_in_the_language_of_the_question(demo: Chats) -> None:
    asked = cases("question") + cases("unknown")
    answers = demo.last_answers([case.turns for case in asked])
    wrong = [
        (case.turns[-1], answer)
        for case, answer in zip(asked, answers, strict=True)
        if not case.turns[-1].isascii() and answer.isascii() and not answer.replace(", ", "").strip(".").isdigit()
    ]
    assert not wrong


def test_the_starter_questions_are_answered(demo: Chats) -> None:
    answers = demo.last_answers([[question] for question in STARTERS])
    assert all(fact in answer for fact, answer in zip(STARTERS.values(), answers, strict=True)), answers
