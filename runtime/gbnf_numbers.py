"""Decimal numbers between two limits, as GBNF.

The grammar allows fewer numbers than there are (no exponents, at most 16 digits behind the point), never others.
"""

from __future__ import annotations

from decimal import Decimal

from runtime.gbnf import MAX_DIGITS, grouped, natural_range

ANY_FRACTION = f"[0-9]{{1,{MAX_DIGITS}}}"
ANY_REST = f"[0-9]{{0,{MAX_DIGITS}}}"
LARGEST = Decimal(10) ** 15
SMALLEST_STEP_EXPONENT = -6
EXACT_DIGITS = 12


def just_inside(limit: Decimal, direction: int) -> Decimal:
    """Return a number beside an exclusive limit, above it for 1, below it for -1, that no reader rounds onto it."""
    exponent = max(SMALLEST_STEP_EXPONENT, limit.adjusted() - EXACT_DIGITS) if limit else SMALLEST_STEP_EXPONENT
    return limit + direction * Decimal(10) ** exponent


def decimal_range(low: Decimal | None, high: Decimal | None) -> str | None:
    """Return an expression for the numbers from ``low`` to ``high``; ``None`` where there are none.

    An open end is closed at 15 digits.
    """
    least, most = max(-LARGEST, -LARGEST if low is None else low), min(LARGEST, LARGEST if high is None else high)
    if least > most:
        return None
    parts = []
    if least < 0:
        parts.append(f'"-" {grouped(_positive(max(Decimal(0), -most), -least))}')
    if most >= 0:
        parts.append(_positive(max(Decimal(0), least), most))
    return " | ".join(parts)


def _positive(low: Decimal, high: Decimal) -> str:
    """Return an expression for ``low`` to ``high``, both 0 or more."""
    (first, after_first), (last, after_last) = _split(low), _split(high)
    if first == last:
        return f'"{first}" {grouped(_fraction_between(after_first, after_last))}'
    parts = [f'"{first}" {grouped(_fraction_from(after_first))}']
    if last - first > 1:
        parts.append(f'({natural_range(first + 1, last - 1)}) ("." {ANY_FRACTION})?')
    parts.append(f'"{last}" {grouped(_fraction_to(after_last))}')
    return " | ".join(parts)


def _split(number: Decimal) -> tuple[int, str]:
    """Return the whole part and the digits behind the point, without zeros at their end."""
    whole, _, digits = f"{number:f}".partition(".")
    return int(whole), digits.rstrip("0")


def _fraction_from(digits: str) -> str:
    """Return an expression for what may follow the whole part so that it is at least ``digits``."""
    return f'"." {grouped(_at_least(digits))}' if digits else f'("." {ANY_FRACTION})?'


def _fraction_to(digits: str) -> str:
    """Return the same for at most ``digits``."""
    return f'("." {grouped(_at_most(digits))})?' if digits else '".0"?'


def _fraction_between(low: str, high: str) -> str:
    if not low:
        return _fraction_to(high)
    return f'"." {grouped(_between(low, high))}'


def _at_least(digits: str) -> str:
    rest = _at_least(digits[1:]) if len(digits) > 1 else ANY_REST
    exact = f'"{digits[0]}" {grouped(rest)}'
    return exact if digits[0] == "9" else f"[{int(digits[0]) + 1}-9] {ANY_REST} | {exact}"


def _at_most(digits: str) -> str:
    exact = f'"{digits[0]}"' + (f" {grouped(_at_most(digits[1:]), '?')}" if len(digits) > 1 else "")
    return exact if digits[0] == "0" else f"[0-{int(digits[0]) - 1}] {ANY_REST} | {exact}"


def _between(low: str, high: str) -> str:
    """Return an expression for digits from ``low``, which is not empty, to ``high``."""
    first, last = int(low[0]), int(high[0])
    if first == last:
        if len(low) > 1:
            return f'"{first}" {grouped(_between(low[1:], high[1:]))}'
        return f'"{first}"' + (f" {grouped(_at_most(high[1:]), '?')}" if len(high) > 1 else "")
    parts = [f'"{first}" {grouped(_at_least(low[1:]) if len(low) > 1 else ANY_REST)}']
    if last - first > 1:
        parts.append(f"[{first + 1}-{last - 1}] {ANY_REST}")
    parts.append(f'"{last}"' + (f" {grouped(_at_most(high[1:]), '?')}" if len(high) > 1 else ""))
    return " | ".join(parts)
