"""Gets the text of a PDF from another process, which a hostile file may exhaust without harm to this one."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import InputError, MachineError
from runtime.browser import child_environment
from runtime.bundle import bundle_path
from runtime.cli import EXTRACT_OPTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEPT_VARIABLES = ("PACKER_CACHE_DIR", "PACKER_FORCE_LIBC")
TIMEOUT_S = 30.0
WAIT_S = 60.0
MAX_AT_ONCE = 2
HIDE_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


@dataclass(frozen=True, kw_only=True)
class PdfText:
    """What a PDF says; ``is_truncated`` when there was more than is taken."""

    text: str
    num_pages: int
    is_truncated: bool


def extract_command(environ: Mapping[str, str]) -> list[str]:
    """Return the command that runs this program as the other process."""
    path = bundle_path(environ)
    return [str(path), EXTRACT_OPTION] if path else [sys.executable, "-m", "runtime", EXTRACT_OPTION]


def extract_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the other process is started with; it uses the same unpacked runtime."""
    kept = {name: environ[name] for name in KEPT_VARIABLES if name in environ}
    return child_environment(environ) | kept


class PdfReader:
    """Reads a few PDFs at a time; others wait."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> None:
        """``command`` runs :mod:`runtime.attachments.pdf_text`, with ``environ``."""
        self._command = list(command)
        self._environ = dict(environ)
        self._timeout_s = timeout_s
        self._places = threading.Semaphore(MAX_AT_ONCE)

    def read(self, content: bytes) -> PdfText:
        """Return the text of a PDF. Raises InputError saying what is wrong with it, or MachineError."""
        if not self._places.acquire(timeout=WAIT_S):
            raise MachineError("other files are being read; try again in a moment")
        try:
            return self._read(content)
        finally:
            self._places.release()

    def _read(self, content: bytes) -> PdfText:
        try:
            done = subprocess.run(
                self._command,
                input=content,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environ,
                timeout=self._timeout_s,
                check=False,
                creationflags=HIDE_WINDOW,
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(f"reading this PDF takes longer than {self._timeout_s:.0f} seconds") from error
        except OSError as error:
            raise MachineError(f"{self._command[0]}: can't be started to read the PDF ({error.strerror})") from error
        try:
            answer = json.loads(done.stdout)
        except ValueError as error:
            raise InputError("reading this PDF takes more time or memory than it may; it may be damaged") from error
        if "error" in answer:
            raise InputError(str(answer["error"]))
        return PdfText(text=answer["text"], num_pages=answer["num_pages"], is_truncated=answer["is_truncated"])
