"""Random texts of a GBNF grammar: what a model without any sense could reply under it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

TOKEN = re.compile(
    r"""\s*(?:(?P<literal>"(?:\\.|[^"\\])*")|(?P<set>\[\^?(?:\\.|[^\]\\])*\])|(?P<name>[a-zA-Z][a-zA-Z0-9-]*)"""
    r"""|(?P<count>\{\d+(?:,\d*)?\})|(?P<sign>[()|*+?]))"""
)
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|U[0-9a-fA-F]{8}|u[0-9a-fA-F]{4}|.)", re.DOTALL)
UNIVERSE = [*map(chr, range(128)), "é", "漢", "🙂"]
ENDLESS = 10**6


class Grammar:
    """A parsed grammar; ``sample`` makes texts. Raises ValueError for text that is no grammar."""

    def __init__(self, text: str) -> None:
        self.rules: dict[str, Any] = {}
        for line in text.splitlines():
            name, separator, body = line.partition(" ::= ")
            if not separator or name in self.rules:
                raise ValueError(f"not a rule, or defined twice: {line!r}")
            self.rules[name] = _Parser(body).parse()
        self._heights = dict.fromkeys(self.rules, ENDLESS)
        self._find_heights()
        if self.rules.keys() - {name for name, height in self._heights.items() if height < ENDLESS}:
            raise ValueError("a rule never ends")
        self.height("root", self.rules["root"])

    def _find_heights(self) -> None:
        for _round in self.rules:
            for name, node in self.rules.items():
                self._heights[name] = min(self._heights[name], 1 + self.height(name, node))

    def height(self, where: str, node: Any) -> int:
        kind, value = node[0], node[1]
        if kind == "name":
            if value not in self.rules:
                raise ValueError(f"{where} needs a rule {value}, which is missing")
            return self._heights[value]
        if kind == "any":
            return min(self.height(where, part) for part in value)
        if kind == "all":
            return max((self.height(where, part) for part in value), default=0)
        if kind == "repeat":
            return self.height(where, value) if node[2] else 0
        return 0

    def sample(self, rng: random.Random, depth: int = 14) -> str:
        return self._make(("name", "root"), rng, depth)

    def _make(self, node: Any, rng: random.Random, depth: int) -> str:
        kind, value = node[0], node[1]
        if kind == "literal":
            return str(value)
        if kind == "set":
            return str(rng.choice(value))
        if kind == "name":
            return self._make(self.rules[value], rng, depth - 1)
        if kind == "any":
            return self._make(self._choose(value, rng, depth), rng, depth)
        if kind == "all":
            return "".join(self._make(part, rng, depth) for part in value)
        least, most = node[2], node[3]
        count = (
            least if depth <= 0 else rng.randint(least, min(least + 3, most) if rng.random() < 0.8 else min(most, 40))
        )
        return "".join(self._make(value, rng, depth) for _ in range(max(count, least)))

    def _choose(self, options: list[Any], rng: random.Random, depth: int) -> Any:
        if depth > 0:
            return rng.choice(options)
        return min(options, key=lambda option: self.height("", option))


class _Parser:
    def __init__(self, body: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(body.rstrip()):
            match = TOKEN.match(body, at)
            if match is None or match.lastgroup is None:
                raise ValueError(f"no GBNF: {body[at:]!r}")
            self._tokens.append((match.lastgroup, match.group(match.lastgroup)))
            at = match.end()
        self._at = 0

    def parse(self) -> Any:
        node = self._alternatives()
        if self._at < len(self._tokens):
            raise ValueError(f"surplus {self._tokens[self._at]}")
        return node

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _alternatives(self) -> Any:
        options = [self._sequence()]
        while self._peek()[1] == "|":
            self._at += 1
            options.append(self._sequence())
        return options[0] if len(options) == 1 else ("any", options)

    def _sequence(self) -> Any:
        parts = []
        while self._peek()[0] != "end" and self._peek()[1] not in {"|", ")"}:
            parts.append(self._item())
        if not parts:
            raise ValueError("an empty alternative")
        return ("all", parts)

    def _item(self) -> Any:
        kind, text = self._peek()
        self._at += 1
        if kind == "literal":
            node: Any = ("literal", ESCAPE.sub(_unescape, text[1:-1]))
        elif kind == "set":
            node = ("set", _members(text))
        elif kind == "name":
            node = ("name", text)
        elif text == "(":
            node = self._alternatives()
            if self._peek()[1] != ")":
                raise ValueError("a parenthesis is open")
            self._at += 1
        else:
            raise ValueError(f"unexpected {text!r}")
        kind, text = self._peek()
        if kind == "count" or text in {"*", "+", "?"}:
            self._at += 1
            node = ("repeat", node, *_limits(text))
        return node


def _limits(text: str) -> tuple[int, int]:
    if text in {"*", "+", "?"}:
        return int(text == "+"), 1 if text == "?" else ENDLESS
    least, comma, most = text[1:-1].partition(",")
    return int(least), int(most) if most else ENDLESS if comma else int(least)


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1)
    if code[0] in "xuU" and len(code) > 1:
        return chr(int(code[1:], 16))
    return {"n": "\n", "r": "\r", "t": "\t"}.get(code, code)


def _members(text: str) -> list[str]:
    inverted, body = text.startswith("[^"), text[2 if text.startswith("[^") else 1 : -1]
    parts = re.findall(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)|[^\\]", body, re.DOTALL)
    characters = [ESCAPE.sub(_unescape, part) for part in parts]
    found: set[str] = set()
    at = 0
    while at < len(parts):
        if at + 2 < len(parts) and parts[at + 1] == "-":
            found |= {chr(code) for code in range(ord(characters[at]), ord(characters[at + 2]) + 1)}
            at += 3
        else:
            found.add(characters[at])
            at += 1
    members = [c for c in UNIVERSE if (c not in found) == inverted] if inverted else sorted(found)
    if not members:
        raise ValueError(f"{text} matches nothing")
    return members
