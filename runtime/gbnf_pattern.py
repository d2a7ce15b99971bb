r"""Regular expressions to GBNF, for JSON schema's ``pattern``: what a JSON string may hold so that it matches.

A subset of ECMA 262's syntax: characters, classes, groups, alternatives, repetitions, anchors at both ends. Where
dialects differ (``\w``, ``\d``, ``\s`` and everything that is none of them) only ASCII is allowed, so that a text
matches in all of them. Whatever else there is, is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import InputError
from runtime.gbnf import literal, repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_REPETITIONS = 1000
MAX_CHARACTERS = 2000
LAST = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)
ASCII = ((0, 0x7F),)
LINE_ENDS = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
WRITTEN_ESCAPED = '"\\\n\t\r'
"""Characters that a JSON string holds as escapes; other control characters are never written."""
NAMED = {
    "d": (("0", "9"),),
    "w": (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")),
    "s": (("\t", "\r"), (" ", " ")),
}
CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
SYNTAX = "\\^$.|?*+()[]{}/-"

Ranges = tuple[tuple[int, int], ...]


class PatternError(InputError):
    """A pattern that can't be enforced; the text says why."""


@dataclass(frozen=True, kw_only=True)
class OneCharacter:
    """A pattern that is nothing but one class of characters, repeated: its lengths can be limited further."""

    expression: str
    least: int
    most: int | None


def pattern_grammar(pattern: str, any_character: Callable[[], str]) -> str:
    """Return an expression for the content of a JSON string that ``pattern`` matches. Raises PatternError.

    ``any_character`` gives the name of a rule for any character of a JSON string, for patterns without anchors.
    """
    parsed = _Parser(pattern)
    around = []
    for is_open_before, body, is_open_behind in parsed.alternatives():
        before, behind = (f"{any_character()}*" if is_open else "" for is_open in (is_open_before, is_open_behind))
        around.append(" ".join(part for part in (before, body, behind) if part) or '""')
    return around[0] if len(around) == 1 else f"({' | '.join(around)})"


def repeated_character(pattern: str) -> OneCharacter | None:
    """Return what ``pattern`` repeats if it is ``^[...]{m,n}$`` or the like, ``None`` for any other."""
    if not pattern.startswith("^") or not pattern.endswith("$"):
        return None
    return _Parser(pattern[1:-1]).only_character()


class _Parser:
    """Reads a pattern once, from left to right."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_CHARACTERS:
            raise PatternError(f"expected at most {MAX_CHARACTERS} characters")
        self._text = pattern
        self._at = 0

    def alternatives(self) -> list[tuple[bool, str, bool]]:
        """Return the alternatives of the whole pattern, each with whether anything may stand before and behind it."""
        found = []
        while True:
            is_anchored = self._skip("^")
            body = self._sequence()
            ends = self._skip("$")
            found.append((not is_anchored, body, not ends))
            if self._at == len(self._text):
                return found
            if not self._skip("|"):
                raise self._error(f"{self._text[self._at]!r} can't stand here")

    def only_character(self) -> OneCharacter | None:
        """Return the one repeated class that the pattern is."""
        if self._peek() not in {"[", "\\", "."}:
            return None
        try:
            item = self._item()
            least, most = self._bounds() or (1, 1)
        except PatternError:
            return None
        return OneCharacter(expression=item, least=least, most=most) if self._at == len(self._text) else None

    def _sequence(self) -> str:
        parts = []
        while self._peek() not in {"", "|", ")", "$"}:
            item = self._item()
            bounds = self._bounds()
            parts.append(repeated(item, *bounds) if bounds else item)
        return " ".join(parts)

    def _group(self) -> str:
        if self._skip("?") and not self._skip(":") and not self._skip_name():
            raise self._error("groups that look around or change flags can't be enforced")
        bodies = [self._sequence()]
        while self._skip("|"):
            bodies.append(self._sequence())
        if not self._skip(")"):
            raise self._error("anchors work at both ends of the pattern only" if self._peek() else "a ')' is missing")
        return f"({' | '.join(body or chr(34) * 2 for body in bodies)})"

    def _skip_name(self) -> bool:
        """Skip the name of a group, ``<name>`` or Python's ``P<name>``."""
        start = self._text.find("<", self._at, self._at + 2)
        end = self._text.find(">", self._at)
        if start < 0 or end < 0 or not self._text[start + 1 : end].isidentifier():
            return False
        self._at = end + 1
        return True

    def _item(self) -> str:
        """Read one thing that can be repeated."""
        character = self._next()
        if character == "(":
            return self._group()
        if character == "[":
            return self._written(self._class())
        if character == ".":
            return self._written(_without(LINE_ENDS))
        if character == "\\":
            return self._written(self._escape())
        if character in "^$*+?{}":
            raise self._error(f"{character!r} can't stand here", back=1)
        return self._written(((ord(character), ord(character)),))

    def _bounds(self) -> tuple[int, int | None] | None:
        """Read a repetition; ``None`` where there is none. A lazy one matches the same texts."""
        known: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        character, bounds = self._peek(), None
        if character in known:
            self._at += 1
            bounds = known[character]
        elif character == "{":
            bounds = self._counted()
        if bounds is not None and not self._skip("?") and self._peek() in {"*", "+", "{"}:
            raise self._error("a repetition can't be repeated")
        return bounds

    def _counted(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._at)
        least, separator, most = self._text[self._at + 1 : max(end, self._at)].partition(",")
        if end < 0 or not _is_count(least) or (most and not _is_count(most)):
            raise self._error("expected {m}, {m,} or {m,n} here")
        self._at = end + 1
        bounds = int(least), (int(most) if most else None) if separator else int(least)
        if max(bounds[0], bounds[1] or 0) > MAX_REPETITIONS or (bounds[1] is not None and bounds[1] < bounds[0]):
            raise self._error(f"expected a repetition of at most {MAX_REPETITIONS} times")
        return bounds

    def _class(self) -> Ranges:
        is_negated, first, only_ascii = self._skip("^"), True, False
        found: list[tuple[int, int]] = []
        while (character := self._next()) != "]" or (first and not is_negated and self._fail_empty()):
            first = False
            one: Ranges = ((ord(character), ord(character)),)
            if character == "\\":
                only_ascii |= self._peek() in {"d", "w", "s", "D", "W", "S"}
                one = self._escape(in_class=True)
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in {"]", ""}:
                self._at += 1
                last = self._next()
                end = self._escape(in_class=True) if last == "\\" else ((ord(last), ord(last)),)
                if not _is_single(one) or not _is_single(end) or end[0][0] < one[0][0]:
                    raise self._error("a range of characters begins or ends with none")
                one = ((one[0][0], end[0][0]),)
            found += one
        if not is_negated:
            return tuple(found)
        return _common(_without(found), ASCII) if only_ascii else _without(found)

    def _fail_empty(self) -> bool:
        raise self._error("an empty class matches nothing")

    def _escape(self, *, in_class: bool = False) -> Ranges:
        """Read what follows a backslash."""
        character = self._next()
        if character.lower() in NAMED:
            named = tuple((ord(first), ord(last)) for first, last in NAMED[character.lower()])
            return named if character.islower() else _common(_without(named), ASCII)
        if character in {"x", "u"}:
            length = 2 if character == "x" else 4
            digits = self._text[self._at : self._at + length]
            if len(digits) < length or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
                raise self._error(f"expected {length} hexadecimal digits here")
            self._at += length
            return ((int(digits, 16), int(digits, 16)),)
        if character in CONTROLS and not self._peek().isdigit():
            return ((ord(CONTROLS[character]), ord(CONTROLS[character])),)
        if character.isalnum() or (in_class and character == ""):
            raise self._error(f"\\{character} can't be enforced", back=1)
        return ((ord(character), ord(character)),)

    def _written(self, ranges: Ranges) -> str:
        """Return an expression for these characters as a JSON string holds them."""
        allowed = _without([*_without(ranges), (0, 0x1F), (0x7F, 0x7F), (0x22, 0x22), (0x5C, 0x5C), SURROGATES])
        escaped = [c for c in WRITTEN_ESCAPED if any(first <= ord(c) <= last for first, last in ranges)]
        parts = [literal(json.dumps(c)[1:-1]) for c in escaped]
        if len(allowed) == 1 and allowed[0][0] == allowed[0][1]:
            parts.insert(0, literal(chr(allowed[0][0])))
        elif allowed:
            parts.insert(0, f"[{''.join(_one_range(first, last) for first, last in allowed)}]")
        if not parts:
            raise self._error("allows no character that can be written", back=1)
        return parts[0] if len(parts) == 1 else f"({' | '.join(parts)})"

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        if not character:
            raise self._error("it ends too early")
        self._at += 1
        return character

    def _skip(self, character: str) -> bool:
        is_there = self._peek() == character
        self._at += is_there
        return is_there

    def _error(self, reason: str, *, back: int = 0) -> PatternError:
        return PatternError(f"at character {self._at + 1 - back}: {reason}")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5


def _is_single(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


def _without(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return all characters but these."""
    found, start = [], 0
    for first, last in sorted(ranges):
        if first > start:
            found.append((start, first - 1))
        start = max(start, last + 1)
    return (*found, (start, LAST)) if start <= LAST else tuple(found)


def _common(left: Ranges, right: Ranges) -> Ranges:
    """Return the characters that are in both."""
    return _without([*_without(left), *_without(right)])


def _one_range(first: int, last: int) -> str:
    return _one(first) if first == last else f"{_one(first)}-{_one(last)}"


def _one(code: int) -> str:
    character = chr(code)
    return character if character.isascii() and character.isalnum() else f"\\U{code:08X}"
