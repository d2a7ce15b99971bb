"""Reads ``held_out.toml`` and judges answers by the facts they must contain."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).parent / "held_out.toml"
DECLINES = (("demonstration model", "演示模型"), ("packer build your-model.gguf -o chat",))


@dataclass(frozen=True, kw_only=True)
class Case:
    """What somebody says, turn by turn, and the facts of the last answer: of each group one must be in it."""

    turns: tuple[str, ...]
    facts: tuple[tuple[str, ...], ...]

    def met_by(self, answer: str) -> bool:
        """Whether ``answer`` has one alternative of every group, in upper or lower case."""
        text = answer.lower()
        return all(any(fact.lower() in text for fact in group) for group in self.facts)


def cases(kind: str) -> list[Case]:
    """All cases of ``question``, ``unknown`` or ``memory``."""
    entries = tomllib.loads(PATH.read_text(encoding="utf-8"))[kind]
    return [
        Case(
            turns=tuple(entry["turns"] if "turns" in entry else [entry["ask"]]),
            facts=tuple(map(tuple, entry["facts"])) if "facts" in entry else DECLINES,
        )
        for entry in entries
    ]
