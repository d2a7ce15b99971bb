"""Pieces of GBNF: JSON's own rules, literals, repetitions, whole-number ranges. Knows nothing about schemas.

Source: llama.cpp's ``grammars/README.md``; RFC 8259 for JSON; RFC 3339 for dates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_DIGITS = 16
_Tree = dict[str, "_Tree"]
"""Characters to what may follow them; the key "" marks the end of a name."""

PLAIN = '"\\\\\\x7F\\x00-\\x1F'
"""The characters that a JSON string can't hold as they are, as they stand in a character class."""

PRIMITIVES: dict[str, tuple[str, tuple[str, ...]]] = {
    "ws": ('"" | " " | "\\n" [ \\t]{0,20}', ()),
    "char": (
        f'[^{PLAIN}] | "\\\\" (["\\\\/bfnrt] | "u" ([0-9a-cA-CefEF] [0-9a-fA-F]{{3}} | [dD] [0-7] [0-9a-fA-F]{{2}}))',
        (),
    ),
    "string": ('"\\"" char* "\\""', ("char",)),
    "digits": ('"0" | [1-9] [0-9]{0,15}', ()),
    "integer": ('"-"? digits', ("digits",)),
    "positive": ('digits ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?', ("digits",)),
    "number": ('"-"? positive', ("positive",)),
    "boolean": ('"true" | "false"', ()),
    "null": ('"null"', ()),
    "pair": ('string ":" ws value', ("string", "ws", "value")),
    "object": ('"{" ws (pair ("," ws pair)*)? ws "}"', ("pair", "ws")),
    "array": ('"[" ws (value ("," ws value)*)? ws "]"', ("value", "ws")),
    "value": (
        "object | array | string | number | boolean | null",
        ("object", "array", "string", "number", "boolean", "null"),
    ),
}
"""Name of a rule to its body and the rules it needs."""

_DATE = (
    '[0-9]{4} "-" ("0" [13578] "-" DAY31 | "1" [02] "-" DAY31 | "0" [469] "-" DAY30 | "11-" DAY30 | "02-" DAY28)'
    .replace("DAY31", '("0" [1-9] | [12] [0-9] | "3" [01])')
    .replace("DAY30", '("0" [1-9] | [12] [0-9] | "30")')
    .replace("DAY28", '("0" [1-9] | "1" [0-9] | "2" [0-8])')
)  # fmt: skip
_TIME = '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})?'
_ZONE = '("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])'
_BYTE = '("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9]{2} | [1-9]? [0-9])'
FORMATS = {
    "date": _DATE,
    "time": f"{_TIME} {_ZONE}",
    "date-time": f'{_DATE} "T" {_TIME} {_ZONE}',
    "uuid": '[0-9a-f]{8} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{12}',
    "ipv4": f'{_BYTE} "." {_BYTE} "." {_BYTE} "." {_BYTE}',
    "email": '[a-zA-Z0-9]+ ([._+-] [a-zA-Z0-9]+)* "@" [a-z0-9]+ ("-" [a-z0-9]+)* ("." [a-z0-9]+)* "." [a-z]{2,10}',
}
"""String formats to what stands between the quotes."""


def literal(text: str) -> str:
    """Return ``text`` as a quoted terminal."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08X}") for c in text) + '"'


def repeated(item: str, least: int, most: int | None) -> str:
    """Return ``item`` repeated ``least`` to ``most`` times; ``None`` for no limit."""
    if most == 0:
        return '""'
    if most is None:
        return f"{item}*" if least == 0 else f"{item}{{{least},}}"
    return f"{item}{{{least},{most}}}"


def integer_range(lowest: int | None, highest: int | None) -> str:
    """Return an expression for the whole numbers from ``lowest`` to ``highest``, without leading zeros.

    An open end is closed at a number of at least 16 digits.
    """
    limit = 10 ** max(MAX_DIGITS, len(str(abs(lowest or 0))) + 1, len(str(abs(highest or 0))) + 1) - 1
    low, high = -limit if lowest is None else lowest, limit if highest is None else highest
    parts = []
    if low < 0:
        parts += [f'"-" ({natural_range(max(1, -high), -low)})']
    if high >= 0:
        parts.append(natural_range(max(low, 0), high))
    return " | ".join(parts)


def natural_range(low: int, high: int) -> str:
    """Return an expression for ``low`` to ``high``, both 0 or more, one alternative for each number of digits."""
    parts = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (length - 1) if length > 1 else 0)
        parts.append(_same_length(str(first), str(min(high, 10**length - 1))))
    return " | ".join(parts)


def _same_length(low: str, high: str) -> str:
    """Return an expression for the digit strings from ``low`` to ``high``, which are of the same length."""
    if not low:
        return '""'
    if set(low) == {"0"} and set(high) == {"9"}:
        return f"[0-9]{{{len(low)}}}"
    if low[0] == high[0]:
        return f'"{low[0]}" {grouped(_same_length(low[1:], high[1:]))}'
    rest = len(low) - 1
    start, end = int(low[0]), int(high[0])
    parts = []
    if set(low[1:]) - {"0"}:
        parts.append(f'"{start}" {grouped(_same_length(low[1:], "9" * rest))}')
        start += 1
    tail = ""
    if set(high[1:]) - {"9"}:
        tail = f'"{end}" {grouped(_same_length("0" * rest, high[1:]))}'
        end -= 1
    if start <= end:
        parts.append(f"[{start}-{end}]" + (f" [0-9]{{{rest}}}" if rest else ""))
    return " | ".join([*parts, tail] if tail else parts)


def grouped(expression: str, sign: str = "") -> str:
    """Return an expression that can stand in a sequence, or be repeated as ``sign`` says."""
    return f"({expression}){sign}" if sign or "|" in expression else expression


def excluded_names(names: Iterable[str], add: Callable[[str], str]) -> str:
    """Return an expression for the content of a JSON string, written without escapes, that is none of ``names``.

    ``add`` makes a rule of an expression and returns its name. The rules follow the tree of the names' beginnings.
    """
    tree: _Tree = {}
    for name in names:
        node = tree
        for character in name:
            node = node.setdefault(character, {})
        node[""] = {}
    return _exclude(tree, add)


def _exclude(node: _Tree, add: Callable[[str], str]) -> str:
    children = {key: child for key, child in node.items() if key}
    parts = [f"{literal(key)} {_exclude(child, add)}" for key, child in children.items()]
    taken = "".join(f"\\{key}" if key in "[]-" else "\\x5E" if key == "^" else key for key in sorted(children))
    parts.append(f"[^{PLAIN}{taken}] [^{PLAIN}]*")
    rule = add(" | ".join(parts))
    return rule if "" in node else f"{rule}?"
