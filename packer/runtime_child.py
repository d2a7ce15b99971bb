"""Starts the runtime of this system as a program of its own for what needs llama.cpp: packer loads no model."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

from packer.errors import BuildError, InputError, MachineError, OutputError, PackerError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

ERROR_PREFIX = "error: "
EXPECTED: dict[int, type[PackerError]] = {error.exit_code: error for error in (InputError, OutputError, MachineError)}


def runtime_reports(command: Sequence[str], what: str) -> Generator[dict[str, Any]]:
    """Run a bundle's program; yield the JSON objects that it prints, and raise its failure as ours.

    ``what`` is done begins the sentence of the BuildError for anything unforeseen.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env=dict(os.environ),
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                with contextlib.suppress(ValueError):
                    yield json.loads(line)
            code = process.wait()
        finally:
            process.kill()
        complaints.seek(0)
        said = complaints.read().strip()
    if code == 0:
        return
    last = said.splitlines()[-1] if said else f"exit code {code}, without a word"
    if last.startswith(ERROR_PREFIX) and code in EXPECTED:
        raise EXPECTED[code](last.removeprefix(ERROR_PREFIX))
    raise BuildError(f"{what} failed: {last.removeprefix(ERROR_PREFIX)}")
