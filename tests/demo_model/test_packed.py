# ruff: noqa: RUF001 - the Chinese questions use their own punctuation
"""What the packed demonstration model answers at temperature 0: held-out questions, names, second turns, skills."""

from __future__ import annotations

import tomllib
from itertools import permutations
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
COMMON = STARTERS | {
    "Hello!": "Hello",
    "Who are you?": "demonstration model",
    "Why are you so slow?": "smaller model",
    "Thank you!": "welcome",
    "How do I quit?": "Ctrl-C",
    "怎么打包我的模型？": "packer build",
    "你能做什么？": "算术",
}
WEEK = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
SPELLED = ("apple", "river", "window", "music", "paper", "stone", "green", "market", "winter", "bottle")


@pytest.mark.parametrize(("kind", "wanted"), [("question", 0.9), ("unknown", 0.9), ("memory", 1.0)])
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


def test_second_turns_are_answered_whatever_came_before(demo: Chats) -> None:
    """Each of ten common questions after each other one."""
    pairs = list(permutations(COMMON, 2))
    answers = demo.last_answers(pairs)
    failed = [(pair, answer) for pair, answer in zip(pairs, answers, strict=True) if COMMON[pair[1]] not in answer]
    assert len(failed) <= 0.05 * len(pairs), failed


def test_small_skills(demo: Chats) -> None:
    """Sums and products of two digits, days, counting and spelling: nine of ten are right."""
    expected = {f"What is {a} + {b}?": f"= {a + b}." for a in range(2, 10) for b in (3, 6, 8)}
    expected |= {f"{a} * {b}": f"= {a * b}." for a in (2, 4, 7, 9) for b in (3, 5, 8)}
    expected |= {f"What day comes after {day}?": WEEK[(at + 1) % 7] for at, day in enumerate(WEEK)}
    expected |= {f"Count to {last}.": ", ".join(map(str, range(1, last + 1))) for last in (5, 9, 12)}
    expected |= {f"Spell the word {word}.": "-".join(word) for word in SPELLED}
    answers = demo.last_answers([[question] for question in expected])
    failed = [
        (question, answer)
        for (question, fact), answer in zip(expected.items(), answers, strict=True)
        if fact not in answer
    ]
    assert len(failed) <= 0.1 * len(expected), failed
