"""Which kernel of the code for GPUs a kernel of the host's half is: both compilers name them, each in its own way.

Names are compared as C++ writes them. What differs then is known: a number of 64 bits is ``long`` on Linux and ``long
long`` on Windows; what is seen in one file only stands in a namespace of its own in NVIDIA's names; and a function that
a template is made with is written with or without its parameters. Source: Itanium C++ ABI, "Mangling".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.toolchain import process

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

OWN_NAMESPACE = re.compile(r"_INTERNAL_[0-9a-f]{8}_\d+_\w+?_cu_[0-9a-f]{8}::")
FUNCTION_ARGUMENT = re.compile(r"&\((\w+)\([^()]*\)\)")
WIDE_LITERAL = re.compile(r"\b(\d+u?)ll\b")
SHORT_LONG = re.compile(r"\blong\b|\b\d+u?l\b")
"""Has 32 bits on Windows and 64 in the code for GPUs: no kernel may have a parameter of it."""


def match_kernels(host: Sequence[str], device: Iterable[str], cxxfilt: Path) -> dict[str, str]:
    """Map each mangled name of ``host``, made for Windows, to the one of ``device``. Raises BuildError."""
    names = sorted(device)
    at_hand: dict[str, str] = {}
    for name, words in zip(names, demangled(names, cxxfilt), strict=True):
        if at_hand.setdefault(comparable(words), name) != name:
            raise BuildError(f"two kernels of the code for GPUs can't be told apart: {words}")
    found = {}
    for name, words in zip(host, demangled(host, cxxfilt), strict=True):
        if SHORT_LONG.search(words.replace("long long", "")):
            raise BuildError(f"a kernel has a parameter of another size on Windows: {words}")
        match = at_hand.get(comparable(words))
        if match is None:
            raise BuildError(f"the code for GPUs has no kernel {words}")
        found[name] = match
    return found


def comparable(words: str) -> str:
    """``words``, a demangled name, without what differs between the two compilers and systems."""
    words = FUNCTION_ARGUMENT.sub(r"&\1", OWN_NAMESPACE.sub("", words))
    words = WIDE_LITERAL.sub(r"\1l", words)
    return words.replace("long long", "long")


def demangled(names: Sequence[str], cxxfilt: Path) -> list[str]:
    """The names as C++ writes them."""
    if not names:
        return []
    found: list[str] = []
    process.run([cxxfilt, *names], on_line=found.append)
    if len(found) != len(names):
        raise BuildError(f"{cxxfilt.name}: expected {len(names)} names, got {len(found)}")
    return found
