"""The one way to run an external tool: the command is logged, its output kept, its failure shown."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import shlex
import subprocess
from typing import TYPE_CHECKING

from packer.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

SHOWN_LINES = 30


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> str:
    """Run ``command`` to its end and return what it printed (stdout and stderr together).

    ``on_line`` sees each line as it comes, for progress. Raises BuildError with the last lines when it fails.
    """
    arguments = [str(part) for part in command]
    logger.info("running %s", shlex.join(arguments))
    kept: collections.deque[str] = collections.deque(maxlen=100_000)
    try:
        process = subprocess.Popen(
            arguments,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise BuildError(f"{arguments[0]}: can't be started ({error.strerror})") from error
    with _stopped_at_the_end(process):
        for line in process.stdout or ():
            kept.append(line)
            if on_line is not None:
                on_line(line.rstrip())
        code = process.wait()
    if code != 0:
        tail = "".join(list(kept)[-SHOWN_LINES:]).rstrip()
        raise BuildError(f"{shlex.join(arguments[:4])} ... ended with exit code {code}. Its last lines:\n{tail}")
    return "".join(kept)


@contextlib.contextmanager
def _stopped_at_the_end(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment for build tools: ours without Python's and the dynamic loader's variables, plus ``extra``."""
    dropped = ("PYTHON", "LD_", "_PYI", "_MEI", "VIRTUAL_ENV", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CPPFLAGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {"SOURCE_DATE_EPOCH": "315532800", "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"} | extra
