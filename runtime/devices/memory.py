"""Remembers between starts what drivers answered, in files beside the unpacked runtime; forgets it after a month.

Every answer is kept under a digest of what it depends on. Trouble with the files is no trouble: then the drivers are
asked again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DIRECTORY = "devices"
LONGEST_S = 30 * 24 * 3600
MAX_ANSWER_BYTES = 1 << 20
ABRUPT_ENDS = 2


@dataclass(frozen=True, kw_only=True)
class ResultMemory:
    """Answers in ``directory``; ``None`` remembers nothing."""

    directory: Path | None

    def recall(self, key: str) -> dict[str, Any] | None:
        """Return the answer under ``key``, or ``None``."""
        path = self._path(key, "json")
        if path is None:
            return None
        with contextlib.suppress(OSError, ValueError):
            if time.time() - path.stat().st_mtime < LONGEST_S and path.stat().st_size < MAX_ANSWER_BYTES:
                value = json.loads(path.read_text(encoding="utf-8"))
                return value if isinstance(value, dict) else None
        return None

    def remember(self, key: str, value: dict[str, Any]) -> None:
        """Keep an answer, completely or not at all."""
        path = self._path(key, "json")
        if path is None:
            return
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
            scratch.write_text(json.dumps(value), encoding="utf-8")
            scratch.replace(path)

    def abrupt_ends(self, key: str) -> int:
        """Return how often in a row a process ended while it did what :meth:`trying` marks."""
        path = self._path(key, "trying")
        marks = _read_marks(path) if path else []
        return sum(not _is_alive(process) for process in marks)

    @contextlib.contextmanager
    def trying(self, key: str) -> Iterator[None]:
        """Mark that something is done which may end the process; the mark goes when the block is left."""
        path = self._path(key, "trying")
        if path is not None:
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(f"{mark}\n" for mark in [*_read_marks(path), os.getpid()]), encoding="ascii")
        try:
            yield
        finally:
            if path is not None:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _path(self, key: str, suffix: str) -> Path | None:
        return self.directory / f"{key[:32]}.{suffix}" if self.directory else None


def default_memory(environ: Mapping[str, str]) -> ResultMemory:
    """The memory of a packed file; a program that was not unpacked by a launcher has none."""
    entry = environ.get("PACKER_CACHE_ENTRY")
    return ResultMemory(directory=Path(entry).parent / DIRECTORY if entry else None)


def key_of(*parts: Any) -> str:
    """Digest of plain JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read_marks(path: Path) -> list[int]:
    with contextlib.suppress(OSError, ValueError):
        return [int(line) for line in path.read_text(encoding="ascii").split()]
    return []


def _is_alive(process: int) -> bool:
    """Tell whether a process runs. Windows is not asked: a mark there counts at once."""
    if os.name == "nt":
        return process == os.getpid()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, 0)
        return True
    return False
