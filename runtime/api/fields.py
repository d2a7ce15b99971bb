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


def number(document: dict[str, Any], name: str, smallest: float, largest: float) -> float | None:
    """Read a number within a range."""
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise wrong(name, "a number", value)
    if not smallest <= value <= largest:
        raise ApiError(400, f"{name}: expected {smallest:g} to {largest:g}, found {value:.10g}", param=name)
    return float(value)


def integer(document: dict[str, Any], name: str, smallest: int, largest: int = LARGEST_INTEGER) -> int | None:
    """Read a whole number within a range."""
    value = document.get(name)
    if value is None:
        return None
    if type(value) is not int:
        raise wrong(name, "a whole number", value)
    if value < smallest:
        raise ApiError(400, f"{name}: expected at least {smallest}, found {value}", param=name)
    if value > largest:
        raise ApiError(400, f"{name}: expected at most {largest}, found {value}", param=name)
    return value


def flag(document: dict[str, Any], name: str, prefix: str = "") -> bool:
    """Read a boolean; ``prefix`` is the path of ``document`` in the body."""
    value = document.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise wrong(prefix + name, "true or false", value)
    return value


def text(document: dict[str, Any], name: str) -> str | None:
    """Read a string."""
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong(name, "a string", value)
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
    for name in names:
        value = integer(document, name, -1, (1 << 63) - 1)
        if value == 0:
            raise ApiError(400, f"{name}: expected at least 1, found 0", param=name)
        if value is not None and value > 0:
            return value
    return None


def stop_strings(document: dict[str, Any], name: str = "stop") -> tuple[str, ...]:
    """Read a stop string or a list of them."""
    stop = document.get(name)
    if stop is None:
        return ()
    strings = [stop] if isinstance(stop, str) else stop
    if not isinstance(strings, list) or not all(isinstance(entry, str) for entry in strings):
        raise wrong(name, "a string or a list of strings", stop)
    if len(strings) > MAX_STOP_STRINGS:
        raise ApiError(400, f"{name}: expected at most {MAX_STOP_STRINGS} strings, found {len(strings)}", param=name)
    if not all(strings):
        raise ApiError(400, f"{name}: an empty string can't be waited for", param=name)
    return tuple(strings)


def wrong(name: str, expected: str, found: Any) -> ApiError:
    """Make the error for a value of the wrong type."""
    kind = KINDS.get(type(found), f"{found!r:.60}")
    return ApiError(400, f"{name}: expected {expected}, found {kind}", param=name)
