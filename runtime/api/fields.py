"""Reads single fields of a request body; a wrong one raises ApiError 400 with its name, what was expected and found.

A field that is missing or null gives ``None``, ``False`` for flags.
"""

from __future__ import annotations

import math
from typing import Any

from runtime.api.errors import ApiError

MAX_STOP_STRINGS = 16
LARGEST_INTEGER = (1 << 31) - 1
KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "nothing"}


def number(document: dict[str, Any], name: str, smallest: float, largest: float, prefix: str = "") -> float | None:
    """Read a number within a range; ``prefix`` is the path of ``document`` in the body."""
    value, where = document.get(name), prefix + name
    if value is None:
        return None
    if not is_number(value):
        raise wrong(where, "a number", value)
    if not smallest <= value <= largest:
        raise ApiError(400, f"{where}: expected {smallest:g} to {largest:g}, found {value!r:.60}", param=where)
    return float(value)


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a finite number; whole ones may be larger than any float."""
    return math.isfinite(value) if isinstance(value, float) else type(value) is int


def integer(document: dict[str, Any], name: str, smallest: int, largest: int = LARGEST_INTEGER) -> int | None:
    """Read a whole number within a range."""
    value = document.get(name)
    if value is None:
        return None
    value = whole(value)
    if value is None:
        raise wrong(name, "a whole number", document[name])
    if value < smallest:
        raise ApiError(400, f"{name}: expected at least {smallest}, found {value!r:.60}", param=name)
    if value > largest:
        raise ApiError(400, f"{name}: expected at most {largest}, found {value!r:.60}", param=name)
    return value


def whole(value: Any) -> int | None:
    """Return a JSON value as a whole number, which 16.0 is too (JSON Schema's "integer"); ``None`` if it is none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def whole_list(value: Any) -> list[int] | None:
    """Return a list of whole numbers, or ``None`` if the value is none."""
    if not isinstance(value, list):
        return None
    numbers = [number for entry in value if (number := whole(entry)) is not None]
    return numbers if len(numbers) == len(value) else None


def flag(document: dict[str, Any], name: str, prefix: str = "") -> bool:
    """Read a boolean; ``prefix`` is the path of ``document`` in the body."""
    value = document.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise wrong(prefix + name, "true or false", value)
    return value


def text(document: dict[str, Any], name: str, prefix: str = "") -> str | None:
    """Read a string; ``prefix`` is the path of ``document`` in the body."""
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong(prefix + name, "a string", value)
    return value


def mapping(document: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Read an object."""
    value = document.get(name)
    if value is not None and not isinstance(value, dict):
        raise wrong(name, "an object", value)
    return value


def choice(document: dict[str, Any], name: str, allowed: tuple[str, ...], prefix: str = "") -> str | None:
    """Read a string that is one of ``allowed``; ``prefix`` is the path of ``document`` in the body."""
    value, where = document.get(name), prefix + name
    if value is not None and not isinstance(value, str):
        raise wrong(where, "a string", value)
    if value is not None and value not in allowed:
        raise ApiError(400, f"{where}: expected one of {', '.join(allowed)}, found {value!r:.60}", param=where)
    return value


def max_tokens(document: dict[str, Any], *names: str) -> int | None:
    """Read the first of ``names`` that is given; -1 means no limit, as in llama.cpp's server."""
    limits = [integer(document, name, -1, (1 << 63) - 1) for name in names]
    for name, limit in zip(names, limits, strict=True):
        if limit == 0:
            raise ApiError(400, f"{name}: expected at least 1, found 0", param=name)
    return next((limit for limit in limits if limit is not None and limit > 0), None)


def stop_strings(document: dict[str, Any], name: str = "stop", *, may_be_single: bool = True) -> tuple[str, ...]:
    """Read a list of stop strings, or a single one where that is allowed."""
    stop = document.get(name)
    if stop is None:
        return ()
    strings = [stop] if isinstance(stop, str) and may_be_single else stop
    if not isinstance(strings, list) or not all(isinstance(entry, str) for entry in strings):
        raise wrong(name, "a string or a list of strings" if may_be_single else "a list of strings", stop)
    if len(strings) > MAX_STOP_STRINGS:
        raise ApiError(400, f"{name}: expected at most {MAX_STOP_STRINGS} strings, found {len(strings)}", param=name)
    if not all(strings):
        raise ApiError(400, f"{name}: an empty string can't be waited for", param=name)
    return tuple(strings)


def wrong(name: str, expected: str, found: Any) -> ApiError:
    """Make the error for a value of the wrong type."""
    kind = KINDS.get(type(found), f"{found!r:.60}")
    return ApiError(400, f"{name}: expected {expected}, found {kind}", param=name)
