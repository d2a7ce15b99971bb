# ruff: noqa: RUF001 - the Chinese sentences use their own punctuation
"""Makes written questions look typed: polite openings, missing punctuation, lower case, slips of the finger."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

OPENINGS = (
    "please|hey|hi|ok|so|well|um|sorry|excuse me|hello|just wondering|quick question|"
    "one question|tell me|by the way|"
    "i was wondering|can you tell me|i would like to know|could you explain|do you know|"
    "i want to know|also|and|but|"
    "another thing|next question|now|hm|good morning|i'm new to this|maybe you know|say|you know|actually|then|"
    "question|i forgot|for a friend|help me out|so tell me|let me ask|i am curious|honestly|alright|listen|"
    "as a beginner|i need to know|my boss wants to know|seriously|i read the readme but|"
    "could you please tell me|dear assistant|out of curiosity|my colleague asks|thanks"
).split("|")
ENDINGS = (
    "please|thanks|thank you|then|exactly|by the way|in short|now|for me|again|could you|"
    "any ideas|is that possible|to be honest|if possible|in detail|right|here|if i may ask|anyway|though"
).split("|")
ZH_OPENINGS = (
    "请问|请问一下|那个，|我想问|我想知道|你好，|那么|还有，|另外，|对了，|麻烦问下，|"
    "不好意思，|告诉我，|嗯，|请|问一下，|老师，|那|能不能告诉我，|好奇问下，|就是想问"
).split("|")
ZH_ENDINGS = "呢|啊|呀|谢谢|，谢谢|，请告诉我|哦|了|的|嘛|来着|，急|呗|，能说说吗".split("|")
UPPER = re.compile(r"\b(gguf|gpu|cpu|api|ai|i|python|windows|linux|mac|openai|nvidia|url)\b")
ASCII_WORDS = re.compile(r"[a-z']+")


def typed(text: str, language: str, chance: random.Random, *, slips: bool = True) -> str:
    """``text`` as somebody might have typed it."""
    return _typed_zh(text, chance, slips=slips) if language == "zh" else _typed_en(text, chance, slips=slips)


def _typed_en(text: str, chance: random.Random, *, slips: bool) -> str:
    if chance.random() < 0.25:
        text = chance.choice(OPENINGS) + chance.choice((" ", ", ", ": ", " - ")) + text
    if chance.random() < 0.08:
        text += chance.choice((" ", ", ")) + chance.choice(ENDINGS)
    if slips and chance.random() < 0.10:
        text = _word_lost(text, chance)
    if slips and chance.random() < 0.12:
        text = _slip(text, chance)
    if chance.random() < 0.6:
        text = UPPER.sub(lambda found: _proper(found[0]), text)
    style = chance.random()
    if style < 0.6:
        text = text[:1].upper() + text[1:]
    elif slips and style < 0.63:
        text = text.upper()
    return text + chance.choice(("?", "?", "?", "", "", ".", "!", "??", " ?"))


def _typed_zh(text: str, chance: random.Random, *, slips: bool) -> str:
    if chance.random() < 0.25:
        text = chance.choice(ZH_OPENINGS) + text
    if slips and chance.random() < 0.25:
        text += chance.choice(ZH_ENDINGS)
    if slips and chance.random() < 0.08 and len(text) > 5:
        gap = chance.randrange(len(text))
        text = text[:gap] + text[gap + 1 :]
    return text + chance.choice(("？", "？", "？", "", "", "。", "?", "！"))


def _proper(word: str) -> str:
    return word.capitalize() if word in ("python", "windows", "linux", "mac") else word.upper()


def _word_lost(text: str, chance: random.Random) -> str:
    words = text.split(" ")
    if len(words) > 4:
        del words[chance.randrange(len(words))]
    return " ".join(words)


def _slip(text: str, chance: random.Random) -> str:
    places = [found for found in ASCII_WORDS.finditer(text) if len(found[0]) > 3]
    if not places:
        return text
    word = chance.choice(places)
    at = chance.randrange(word.start(), word.end() - 1)
    kind = chance.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + (text[at + 1 :] if kind == 1 else text[at] + text[at:])
