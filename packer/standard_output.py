"""Standard output and errors: in UTF-8, and what is done when they take no more, for a full disk or a reader gone."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import click

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: OSError) -> bool:
    """Whether ``error`` says that no more can be written, to a stream or to a file."""
    return error.errno in FULL


def full_message(error: OSError) -> str:
    """Say what can't be written, as far as ``error`` knows it: errors of streams name none."""
    return f"error: {error.filename or 'the output'} can't be written ({error.strerror})"


def leave_output() -> None:
    """Send the rest to nowhere, so that nothing fails again when the streams are closed at the end."""
    _send_nowhere(sys.stdout)


def tell(text: str, end: str = "\n") -> None:
    """Print on standard error as far as it takes it: what is told there never ends the program."""
    try:
        sys.stderr.write(text + end)
        sys.stderr.flush()
    except OSError:
        _send_nowhere(sys.stderr)


def _send_nowhere(stream: TextIO | None) -> None:
    # Streams that stand for others, as in tests, have no number.
    with contextlib.suppress(OSError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)


def usage_message(error: click.ClickException) -> str:
    """What click shows for a wrong command line: usage, a hint, the error."""
    shown = io.StringIO()
    error.show(shown)
    return shown.getvalue().rstrip()


def print_utf8() -> None:
    """Print UTF-8 whatever the locale says, and never fail for a character."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="replace")
