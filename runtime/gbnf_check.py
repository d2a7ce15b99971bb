"""Checks that a text is a GBNF grammar, as strictly as llama.cpp reads one (``src/llama-grammar.cpp``).

llama.cpp prints a grammar that it can't read to standard error, content and all, and is not made for hostile ones: deep
nesting overflows its stack and ``{5,2}`` never ends. So nothing reaches it that was not found sound here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_REPETITIONS = 2000
MAX_DEPTH = 100
MAX_RULES = 5000
MAX_ELEMENTS = 2_000_000
MAX_TOKEN_ID = (1 << 32) - 1
MAX_NUMBER = (1 << 64) - 1

SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
NAME = re.compile(r"[a-zA-Z0-9-]+")
NUMBER = re.compile(r"[0-9]+")
TOKEN = re.compile(r"<\[([0-9]+)\]>|<(?!\[)[^>]*>")
CHARACTER = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[trn\\\"\[\]-])|[^\\]", re.DOTALL)


class GbnfError(InputError):
    """The text is no grammar; the message says where and what was expected."""


class GbnfTooLargeError(GbnfError):
    """The grammar is sound but beyond what is accepted from a request."""


def check_gbnf(text: str, is_token: Callable[[str], bool] = lambda _name: True) -> None:
    """Raise GbnfError unless ``text`` is a grammar with a rule named root.

    ``is_token`` tells whether a name such as ``<think>`` is one token of the model.
    """
    _Checker(text.encode("utf-8", "replace").decode(), is_token).check()


class _Checker:
    """Walks through the text once; keeps llama.cpp's counts, by which it limits repetitions."""

    def __init__(self, text: str, is_token: Callable[[str], bool]) -> None:
        self._text = text
        self._is_token = is_token
        self._at = 0
        self._defined: set[str] = set()
        self._used: dict[str, int] = {}
        self._num_made = 0
        self._num_elements = 0

    def check(self) -> None:
        if "\0" in self._text:
            raise GbnfError("it holds a character with the code 0")
        self._skip(SPACE_AND_LINES)
        while self._at < len(self._text):
            self._rule()
        for name, at in self._used.items():
            if name not in self._defined:
                raise self._error(f"the rule {name} is used but not defined", at)
        if "root" not in self._defined:
            raise GbnfError("it has no rule named root")

    def _rule(self) -> None:
        name = self._match(NAME, "the name of a rule")
        self._defined.add(name)
        if len(self._defined) > MAX_RULES:
            raise GbnfTooLargeError(f"it has more than {MAX_RULES} rules")
        self._skip(SPACE)
        self._expect("::=")
        self._skip(SPACE_AND_LINES)
        self._alternatives(0)
        if self._at < len(self._text) and self._text[self._at] not in "\r\n":
            raise self._error("expected a new line or the end")
        self._skip(SPACE_AND_LINES)

    def _alternatives(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise GbnfTooLargeError(f"its parentheses are nested more than {MAX_DEPTH} deep")
        self._sequence(depth)
        while self._peek() == "|":
            self._at += 1
            self._skip(SPACE_AND_LINES)
            self._sequence(depth)

    def _sequence(self, depth: int) -> None:
        space = SPACE_AND_LINES if depth else SPACE
        size, weight = 0, 1
        while True:
            character = self._peek()
            if character in "*+?{" and character:
                size, weight = self._repetition(character, size, weight)
            elif character and (character in '"[(.<!' or NAME.match(character)):
                size, weight = self._item(character, depth)
            else:
                return
            self._count(size)
            self._skip(space)

    def _item(self, character: str, depth: int) -> tuple[int, int]:
        """Read one item; return how many elements it has, and how many rules it made (1 when none)."""
        if character == '"':
            return self._quoted(), 1
        if character == "[":
            return self._character_class(), 1
        if character == "(":
            return self._group(depth)
        if character == ".":
            self._at += 1
        elif character in "<!":
            self._at += character == "!"
            self._token()
        else:
            at = self._at
            self._used.setdefault(self._match(NAME, "the name of a rule"), at)
        return 1, 1

    def _quoted(self) -> int:
        start = self._at
        self._at += 1
        count = 0
        while self._peek() != '"':
            self._character("a closing quote", start)
            count += 1
        self._at += 1
        return count

    def _character_class(self) -> int:
        start = self._at
        self._at += 1
        if self._peek() == "^":
            self._at += 1
        count = 0
        while self._peek() != "]":
            self._character("a closing bracket", start)
            count += 1
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                self._character("a closing bracket", start)
                count += 1
        self._at += 1
        return count

    def _group(self, depth: int) -> tuple[int, int]:
        before = self._num_symbols()
        self._at += 1
        self._skip(SPACE_AND_LINES)
        self._num_made += 1
        self._alternatives(depth + 1)
        self._expect(")")
        return 1, max(1, self._num_symbols() - before)

    def _token(self) -> None:
        at = self._at
        found = TOKEN.match(self._text, at)
        if not found:
            raise self._error("expected a token such as <[5]> or <think>")
        self._at = found.end()
        if found[1] is not None:
            if len(found[1]) > 10 or int(found[1]) > MAX_TOKEN_ID:
                raise self._error("the number of the token is too large", at)
        elif not self._is_token(found[0]):
            raise self._error(f"{found[0]:.40} is not one token of this model", at)

    def _repetition(self, character: str, size: int, weight: int) -> tuple[int, int]:
        """Read ``*``, ``+``, ``?`` or ``{m,n}``; return elements and rules of the item with its repetitions."""
        at = self._at
        least, most = self._times(character)
        if size == 0:
            raise self._error("nothing stands before it that could be repeated", at)
        total = most or least or 1
        if weight * total > MAX_REPETITIONS:
            raise self._error(f"repeated more than {MAX_REPETITIONS} times", at)
        num_optional = 1 if most is None else most - least
        self._num_made += num_optional
        self._count((size + 3) * (least + num_optional))
        return size * least + (num_optional > 0), weight * total

    def _times(self, character: str) -> tuple[int, int | None]:
        """Return the least and the most repetitions; ``None`` for no limit."""
        self._at += 1
        if character != "{":
            return (1 if character == "+" else 0), (1 if character == "?" else None)
        self._skip(SPACE_AND_LINES)
        at = self._at
        least = self._number()
        most: int | None = least
        self._skip(SPACE_AND_LINES)
        if self._peek() == ",":
            self._at += 1
            self._skip(SPACE_AND_LINES)
            most = self._number() if NUMBER.match(self._text, self._at) else None
            self._skip(SPACE_AND_LINES)
        self._expect("}")
        if least > MAX_REPETITIONS:
            raise self._error(f"repeated more than {MAX_REPETITIONS} times", at)
        if most is not None and most > MAX_REPETITIONS:
            most = None
        if most is not None and most < least:
            raise GbnfTooLargeError(f"{self._place(at)}: expected at least {least} as the upper limit, found {most}")
        return least, most

    def _number(self) -> int:
        at = self._at
        digits = self._match(NUMBER, "a number")
        if len(digits) > 20 or int(digits) > MAX_NUMBER:
            raise self._error("the number is too large", at)
        return int(digits)

    def _character(self, closing: str, start: int) -> None:
        if self._at >= len(self._text):
            raise self._error(f"{closing} is missing", start)
        found = CHARACTER.match(self._text, self._at)
        if not found:
            raise self._error("expected an escape such as \\n, \\x41 or \\\\")
        self._at = found.end()

    def _count(self, num_elements: int) -> None:
        self._num_elements += num_elements
        if self._num_elements > MAX_ELEMENTS:
            raise GbnfTooLargeError("it is too large once its repetitions are written out")

    def _num_symbols(self) -> int:
        return self._num_made + len(self._defined | self._used.keys())

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, space: re.Pattern[str]) -> None:
        found = space.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _match(self, pattern: re.Pattern[str], expected: str) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            raise self._error(f"expected {expected}")
        self._at = found.end()
        return found[0]

    def _expect(self, text: str) -> None:
        if not self._text.startswith(text, self._at):
            raise self._error(f"expected {text}")
        self._at += len(text)

    def _place(self, at: int) -> str:
        line = self._text.count("\n", 0, at)
        return f"line {line + 1}, column {at - self._text.rfind(chr(10), 0, at)}"

    def _error(self, problem: str, at: int | None = None) -> GbnfError:
        return GbnfError(f"{self._place(self._at if at is None else at)}: {problem}")
