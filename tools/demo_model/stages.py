"""The stages of training: what each learns from, for how long and how fast."""

from __future__ import annotations

from dataclasses import dataclass

TURNS = (1, 2, 3, 4, 5, 7)
KINDS = ("program", "small_talk", "unknown", "skill", "name")
SKILLS = ("arithmetic", "counting", "days", "months", "spelling", "repeating")


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How often each thing comes up: weights in the order of ``TURNS``, ``KINDS`` and ``SKILLS``.

    ``share_told`` of the chats with more than one turn have somebody give a name and ask for it at the end.
    """

    turns: tuple[int, ...]
    kinds: tuple[int, ...]
    skills: tuple[int, ...]
    share_told: float


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One corpus and one fall of the learning rate, from ``first_rate`` to ``last_rate``."""

    mix: Mix
    seed: int
    num_dialogues: int
    num_steps: int
    first_rate: float
    last_rate: float


TOPICS = Mix(turns=(44, 28, 15, 7, 4, 2), kinds=(46, 13, 15, 20, 6), skills=(42, 9, 12, 12, 17, 8), share_told=0.5)
SHORT_CHATS = Mix(turns=(52, 31, 11, 3, 2, 1), kinds=(38, 10, 17, 30, 5), skills=(42, 9, 12, 12, 17, 8), share_told=0.5)
NAMES = Mix(turns=(44, 36, 14, 3, 2, 1), kinds=(38, 9, 19, 30, 4), skills=(42, 10, 10, 10, 20, 8), share_told=0.65)
SECOND_TURNS = Mix(
    turns=(32, 46, 16, 3, 2, 1), kinds=(38, 9, 19, 30, 4), skills=(34, 12, 10, 10, 18, 16), share_told=0.55
)
COPYING = Mix(turns=(36, 46, 14, 2, 1, 1), kinds=(33, 8, 16, 40, 3), skills=(22, 10, 8, 8, 14, 42), share_told=0.55)
BALANCED = Mix(turns=(36, 44, 14, 3, 2, 1), kinds=(34, 13, 19, 31, 3), skills=(40, 10, 12, 10, 22, 6), share_told=0.4)
SPELLING = Mix(turns=(44, 38, 12, 3, 2, 1), kinds=(33, 12, 18, 42, 3), skills=(30, 16, 8, 8, 70, 4), share_told=0.4)
STAGES = (
    Stage(mix=TOPICS, seed=1, num_dialogues=230_000, num_steps=1700, first_rate=3e-3, last_rate=2.4e-3),
    Stage(mix=SHORT_CHATS, seed=2, num_dialogues=130_000, num_steps=600, first_rate=2.2e-3, last_rate=1.5e-3),
    Stage(mix=NAMES, seed=3, num_dialogues=100_000, num_steps=1597, first_rate=2e-3, last_rate=2e-5),
    Stage(mix=SECOND_TURNS, seed=4, num_dialogues=160_000, num_steps=700, first_rate=2e-3, last_rate=1.4e-3),
    Stage(mix=COPYING, seed=5, num_dialogues=70_000, num_steps=2650, first_rate=1.8e-3, last_rate=1e-3),
    Stage(mix=BALANCED, seed=6, num_dialogues=85_000, num_steps=2600, first_rate=1.5e-3, last_rate=1e-5),
    Stage(mix=SPELLING, seed=7, num_dialogues=120_000, num_steps=3000, first_rate=1.3e-3, last_rate=1e-5),
)
