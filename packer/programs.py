"""The program in front of the archive: one system's native launcher, or one file for several (``portable``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packer.errors import InputError
from packer.portable import portable_program, with_subsystem

if TYPE_CHECKING:
    from collections.abc import Mapping

LINUX, WINDOWS = "linux-x86_64", "windows-x86_64"
PORTABLE = "portable"
PORTABLE_TARGETS = (LINUX, WINDOWS)
WINDOWS_SUFFIX = ".exe"
WINDOWS_MAX_BYTES = (1 << 32) - 1
"""Windows loads no program whose file is larger."""


def parse_targets(values: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the targets that ``--target`` names, lists and ``portable`` written out, in a fixed order.

    Raises InputError for an unknown one.
    """
    named = [name.strip() for value in values for name in value.split(",") if name.strip()]
    for name in named:
        if name not in (*known, PORTABLE):
            raise InputError(f"{name}: unknown target; expected one or more of {', '.join((*known, PORTABLE))}")
    wanted = {target for name in named for target in (PORTABLE_TARGETS if name == PORTABLE else (name,))}
    return tuple(target for target in known if target in wanted)


def native_launchers(launchers: Mapping[str, bytes], *, windowed: bool) -> dict[str, bytes]:
    """Return the launchers by target, the Windows one set to run with or without a console.

    Raises InputError when there is none that could be without.
    """
    if windowed and WINDOWS not in launchers:
        raise InputError(f"--windowed is about Windows; add --target {WINDOWS} or {PORTABLE}")
    return {
        target: with_subsystem(program, windowed=True) if windowed and target == WINDOWS else program
        for target, program in launchers.items()
    }


def program_for(launchers: Mapping[str, bytes]) -> bytes:
    """Return the one program that starts the right launcher on each of its systems."""
    if len(launchers) == 1:
        return next(iter(launchers.values()))
    return portable_program(launchers[WINDOWS], launchers[LINUX])
