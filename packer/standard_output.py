"""Standard output: in UTF-8, and what is done when it can take no more, for a full disk or a reader that has gone."""

from __future__ import annotations

import errno
import os
import sys

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def is_full_output(error: OSError) -> bool:
    """Whether ``error`` comes of writing to a stream: those of files carry their names."""
    return error.errno in FULL and error.filename is None


def leave_output() -> None:
    """Send the rest to nowhere, so that nothing fails again when the streams are closed at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_utf8() -> None:
    """Print UTF-8 whatever the locale says, and never fail for a character."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="replace")
