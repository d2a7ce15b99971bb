"""Composes the training dialogues: intents with their questions and answers, put into chats of one to seven turns."""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tools.demo_model import names, skills
from tools.demo_model.chatml import Message
from tools.demo_model.noise import typed
from tools.demo_model.paraphrase import rephrased
from tools.demo_model.patterns import expand, weight

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYSTEM_PROMPTS = ("You are a helpful assistant.", "Be brief and friendly.", "你是一个有用的助手。", "Answer politely.")
KINDS = ("program", "small_talk", "unknown", "skill", "name")
KIND_WEIGHTS = (38, 9, 19, 30, 4)
SKILLS = ("arithmetic", "counting", "days", "months", "spelling", "repeating")
SKILL_WEIGHTS = (32, 14, 8, 8, 18, 20)
NOT_WORDS = re.compile(r"[\W_]+")


def normalised(text: str) -> str:
    """``text`` in lower case without spaces and punctuation, for comparing questions."""
    return NOT_WORDS.sub("", text.lower())


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What a question can be about: patterns and answer for each language."""

    patterns: dict[str, list[str]]
    weights: dict[str, list[float]]
    answers: dict[str, str]


def _intent(table: dict[str, list[str] | str]) -> Intent:
    patterns = {language: list(table[language]) for language in ("en", "zh")}
    return Intent(
        patterns=patterns,
        weights={language: [weight(pattern) for pattern in of] for language, of in patterns.items()},
        answers={language: str(table[f"a_{language}"]) for language in ("en", "zh")},
    )


@dataclass(kw_only=True)
class Corpus:
    """Writes dialogues; ``held_out`` are normalised questions that must never come up."""

    chance: random.Random
    program: list[Intent]
    small_talk: list[Intent]
    unknown: Intent
    lists: dict[str, list[str]]
    held_out: frozenset[str] = frozenset()
    words: list[str] = field(default_factory=list)

    def dialogues(self, count: int) -> Iterator[list[Message]]:
        """Write ``count`` dialogues."""
        for _ in range(count):
            yield self.dialogue()

    def dialogue(self) -> list[Message]:
        """One chat, mostly in one language; somebody who gave a name is likely to ask for it later."""
        chance = self.chance
        language = "zh" if chance.random() < 0.4 else "en"
        turns = chance.choices((1, 2, 3, 4, 5, 7), (28, 52, 16, 2, 1, 1))[0]
        messages = [Message("system", chance.choice(SYSTEM_PROMPTS))] if chance.random() < 0.06 else []
        name = None
        told = (
            min(chance.randrange(turns - 1), chance.randrange(turns - 1)) if turns > 1 and chance.random() < 0.8 else -1
        )
        for turn in range(turns):
            now = language if chance.random() < 0.95 else ("en" if language == "zh" else "zh")
            kind = chance.choices(KINDS, KIND_WEIGHTS)[0]
            if turn == told:
                kind, name = "tell", names.some_name(now, chance)
            elif name and (turn == turns - 1 or chance.random() < 0.35):
                kind = "name"
            question, answer = self._turn(kind, now, name)
            messages += [Message("user", question), Message("assistant", answer)]
        return messages

    def _turn(self, kind: str, language: str, name: str | None) -> tuple[str, str]:
        while True:
            question, answer, slips = self._ask(kind, language, name)
            question = typed(question, language, self.chance, slips=slips)
            if normalised(question) not in self.held_out:
                return question, answer

    def _ask(self, kind: str, language: str, name: str | None) -> tuple[str, str, bool]:
        chance = self.chance
        if kind == "tell" and name:
            return *names.introduction(language, name, chance), False
        if kind == "name":
            return *names.recall(language, name, chance), True
        if kind == "skill":
            return *self._skill(language), False
        intent = self.unknown
        if kind != "unknown":
            intent = chance.choice(self.program if kind == "program" else self.small_talk)
        pattern = chance.choices(intent.patterns[language], intent.weights[language])[0]
        question = rephrased(expand(pattern, self.lists, chance), language, chance)
        return question, intent.answers[language], True

    def _skill(self, language: str) -> tuple[str, str]:
        chance = self.chance
        skill = chance.choices(SKILLS, SKILL_WEIGHTS)[0]
        if skill in ("spelling", "repeating"):
            return getattr(skills, skill)(language, chance, self.words)
        makers = {"arithmetic": skills.arithmetic, "counting": skills.counting, "days": skills.days}
        return makers.get(skill, skills.months)(language, chance)


def load_corpus(data: Path, held_out: Path, seed: int) -> Corpus:
    """Read the patterns in ``data`` and the questions of ``held_out`` that must stay out."""
    program, small_talk, unknown, held = (
        tomllib.loads(path.read_text(encoding="utf-8"))
        for path in (data / "program.toml", data / "small_talk.toml", data / "unknown.toml", held_out)
    )
    questions = [entry["ask"] for kind in ("question", "unknown") for entry in held[kind]]
    questions += [turn for entry in held["memory"] for turn in entry["turns"]]
    lists = {name: text.split("|") for name, text in unknown["lists"].items()}
    texts = " ".join([*unknown["lists"].values(), *(" ".join(table["en"]) for table in program.values())])
    return Corpus(
        chance=random.Random(seed),
        program=[_intent(table) for table in program.values()],
        small_talk=[_intent(table) for table in small_talk.values()],
        unknown=_intent(unknown),
        lists=lists,
        held_out=frozenset(normalised(question) for question in questions),
        words=sorted({word for word in re.findall(r"[a-z]+", texts) if 2 < len(word) < 11}),
    )
