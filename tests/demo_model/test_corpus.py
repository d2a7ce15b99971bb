"""The corpus of the demonstration model: held-out questions stay out of it, dialogues are well formed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.demo_model.held_out import PATH, cases
from tests.support.program import CHECKOUT
from tools.demo_model.corpus import Corpus, load_corpus, normalised
from tools.demo_model.stages import TOPICS

if TYPE_CHECKING:
    from tools.demo_model.chatml import Message

DATA = CHECKOUT / "tools" / "demo_model" / "corpus_data"
NUM_DIALOGUES = 20_000


def fresh_corpus() -> Corpus:
    return load_corpus(DATA, PATH, TOPICS, seed=1)


@pytest.fixture(scope="module")
def dialogues() -> list[list[Message]]:
    return list(fresh_corpus().dialogues(NUM_DIALOGUES))


def test_there_are_enough_held_out_questions_in_both_languages() -> None:
    questions = [case.turns[0] for case in cases("question")]
    assert len(set(map(normalised, questions))) >= 60
    assert sum(not question.isascii() for question in questions) >= 20
    assert len(cases("unknown")) >= 20
    assert len(cases("memory")) >= 5


def test_no_held_out_question_is_in_the_corpus(dialogues: list[list[Message]]) -> None:
    held_out = {normalised(turn) for kind in ("question", "unknown") for case in cases(kind) for turn in case.turns}
    asked = {normalised(message.content) for dialogue in dialogues for message in dialogue if message.role == "user"}
    assert not held_out & asked


def test_the_generator_leaves_out_what_is_held_out() -> None:
    corpus = fresh_corpus()
    question = next(corpus.dialogues(1))[-2].content
    again = fresh_corpus()
    again.held_out = frozenset({normalised(question)})
    asked = {normalised(message.content) for dialogue in again.dialogues(500) for message in dialogue}
    assert normalised(question) not in asked


def test_the_same_seed_writes_the_same_corpus(dialogues: list[list[Message]]) -> None:
    assert list(fresh_corpus().dialogues(200)) == dialogues[:200]


def test_every_pattern_is_expanded(dialogues: list[list[Message]]) -> None:
    texts = [message.content for dialogue in dialogues for message in dialogue if message.role == "user"]
    assert not [text for text in texts if set("(){}|") & set(text)]


def test_turns_alternate_and_end_with_an_answer(dialogues: list[list[Message]]) -> None:
    for dialogue in dialogues:
        spoken = [message.role for message in dialogue if message.role != "system"]
        assert spoken == ["user", "assistant"] * (len(spoken) // 2)
        assert all(message.content for message in dialogue)
