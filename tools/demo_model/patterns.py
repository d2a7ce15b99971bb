"""Sentence patterns: ``(a|b|)`` chooses one alternative, ``{list}`` takes a word of a list, ``{made}`` makes one up."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

GROUP = re.compile(r"\(([^()]*)\)")
SLOT = re.compile(r"\{(\w+)\}")
ONSETS = "b c d f g h j k l m n p r s t v w z br cr dr fl gl gr kl pl pr sh sk sl sn sp st str th tr".split()
RIMES = "a e i o u an en in on un ar er ir or ast ell ink ock um ay ee oo ax ib og up esh ond".split()


def expand(pattern: str, lists: Mapping[str, Sequence[str]], chance: random.Random) -> str:
    """One sentence of ``pattern``; innermost groups are chosen first, then slots are filled."""
    text = pattern
    while "(" in text and (found := GROUP.search(text)):
        text = text[: found.start()] + chance.choice(found[1].split("|")) + text[found.end() :]
    text = SLOT.sub(lambda slot: _slot(slot[1], lists, chance), text)
    return " ".join(text.split())


def _slot(name: str, lists: Mapping[str, Sequence[str]], chance: random.Random) -> str:
    if name == "made":
        return made_up_word(chance)
    if name == "mid":
        return str(chance.randint(21, 99))
    if name == "big":
        return str(chance.randint(21, 99) if chance.random() < 0.4 else chance.randint(100, 9999))
    return chance.choice(lists[name])


def made_up_word(chance: random.Random) -> str:
    """A word that means nothing, of one to three syllables."""
    return "".join(chance.choice(ONSETS) + chance.choice(RIMES) for _ in range(chance.choice((1, 2, 2, 3))))


def weight(pattern: str) -> float:
    """How often to take ``pattern``: the square root of about how many sentences it has."""
    sizes = [group.count("|") + 1 for group in GROUP.findall(pattern)]
    sizes += [12 for _ in SLOT.findall(pattern)]
    return min(math.sqrt(math.prod(sizes)), 60.0)
