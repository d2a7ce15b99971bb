"""The lines that tell a person what the program does with their machine, and why."""

from __future__ import annotations

import sys
from typing import TextIO

from packer.standard_output import tell

LABEL_WIDTH = 13


def say(text: str = "", stream: TextIO | None = None, *, end: str = "\n") -> None:
    """Print ``text`` at once, to standard output unless told otherwise; standard error as far as it takes it."""
    target = stream or sys.stdout
    if target is sys.stderr:
        tell(text, end)
        return
    target.write(text + end)
    target.flush()


def say_fact(label: str, value: str, why: str = "") -> None:
    """Print one line such as ``Threads      2  (2 physical cores usable)``."""
    say(f"{label:<{LABEL_WIDTH}}{value}" + (f"  ({why})" if why else ""))
