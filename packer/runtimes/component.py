"""One part of a runtime as the list of licences shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import BuildError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Component:
    """One part of a runtime: its name, version, SPDX licence expression and licence text."""

    name: str
    version: str
    licence: str
    text: str


def first_text(name: str, places: list[Path], *, fallback: str | None = None) -> str:
    """The first licence text that is there, else ``fallback``. Raises BuildError when there is neither."""
    for path in places:
        if path.is_file():
            return path.read_text(encoding="utf-8", errors="replace")
    if fallback is None:
        raise BuildError(f"{name}: no licence text found in {', '.join(str(path) for path in places)}")
    return fallback
