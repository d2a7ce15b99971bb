"""Runs a part of this program as a child process that may crash or hang: the parent's side.

The child gets its task as JSON in its last argument and appends one JSON object a line to a result file, so that what
drivers print goes nowhere and what was found before a crash is kept. It ends itself when its time is up, should this
process be gone by then.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.cli import CHILD_OPTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LOG = logging.getLogger(__name__)

CARRIED_LOADER = Path("libc") / "ld-linux-x86-64.so.2"
OVERTIME = "did not answer within"
NOT_ASKED = "could not be asked"
MAX_RESULT_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ChildReport:
    """What became of a child: the objects it reported, and how it failed, in words; ``None`` when it did not."""

    results: list[dict[str, Any]]
    failure: str | None


@dataclass(frozen=True, kw_only=True)
class ChildRunner:
    """Starts children of this program; ``command`` is the program itself."""

    command: Sequence[str]
    environ: Mapping[str, str]

    def run(
        self, task: Mapping[str, Any], *, limit_s: float, variables: Mapping[str, str] | None = None
    ) -> ChildReport:
        """Have a child do ``task`` with ``variables`` in its environment, and wait for it, ``limit_s`` at most."""
        try:
            return self._run(task, limit_s, variables or {})
        except OSError as error:
            return ChildReport(results=[], failure=f"{NOT_ASKED} ({error.strerror or error})")

    def _run(self, task: Mapping[str, Any], limit_s: float, variables: Mapping[str, str]) -> ChildReport:
        # On Windows a child that is stuck in a driver keeps its files.
        with tempfile.TemporaryDirectory(prefix="packer-", ignore_cleanup_errors=True) as directory:
            results = Path(directory) / "results"
            given = json.dumps({**task, "results": str(results), "limit_s": limit_s})
            environ = {**self.environ, **variables, "PYINSTALLER_RESET_ENVIRONMENT": "1"}
            failure = _wait([*self.command, CHILD_OPTION, given], environ, Path(directory) / "errors", limit_s)
            return ChildReport(results=_read_results(results), failure=failure)


def own_command(environ: Mapping[str, str]) -> list[str]:
    """Return the command that starts this program again, through the carried C library where that is in use."""
    if not getattr(sys, "frozen", False):
        return [sys.executable, "-m", "runtime"]
    entry = environ.get("PACKER_CACHE_ENTRY")
    if entry and environ.get("PACKER_LIBC") == "carried":
        return [str(Path(entry) / CARRIED_LOADER), str(Path(entry) / "chat")]
    return [sys.executable]


def default_runner(environ: Mapping[str, str]) -> ChildRunner:
    """The runner for this process; outside a frozen program a child finds its modules where this one does."""
    paths = {} if getattr(sys, "frozen", False) else {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return ChildRunner(command=own_command(environ), environ={**environ, **paths})


def _wait(command: list[str], environ: Mapping[str, str], errors: Path, limit_s: float) -> str | None:
    """Run ``command``; return how it failed, or ``None``."""
    with errors.open("wb") as stream:
        # A child of its own group does not get the Ctrl-C that this program is ended with, and so did not crash.
        process = subprocess.Popen(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        try:
            code = process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return f"{OVERTIME} {round(limit_s, 1):g} s"
        finally:
            _end(process)
    if code != 0:
        _LOG.debug("a device task ended with %s: %s", code, errors.read_text(errors="replace")[-2000:])
    return None if code == 0 else f"crashed ({_cause(code)})"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        # A process stuck in a driver may not end even so; waiting for it would be the hang that this is about.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)


def _cause(code: int) -> str:
    """Name the signal or exit code that a process ended with."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code & 0xFFFFFFFF:#x}" if code > 255 else f"exit code {code}"


def _read_results(path: Path) -> list[dict[str, Any]]:
    """Read the lines that are whole JSON objects; a child that crashed may have left half of one."""
    try:
        with path.open("rb") as stream:
            lines = stream.read(MAX_RESULT_BYTES).splitlines()
    except OSError:
        return []
    results = []
    for line in lines:
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                results.append(value)
    return results
