"""Remembers between starts what drivers answered, in files beside the unpacked runtime; forgets it after a month.

Every answer is kept under a digest of what it depends on. Trouble with a driver may pass, so it is believed only when
it came twice in a row, and for a day. Trouble with the files is no trouble: then the drivers are asked again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DIRECTORY = "devices"
DAY_S = 24 * 3600
LONGEST_S = 30 * DAY_S
BELIEVED = 2
"""So many times in a row must trouble come before the driver is not asked again at the next start."""

MAX_ANSWER_BYTES = 1 << 20
MAX_TIMES = 1000
ABRUPT_ENDS = 2


@dataclass(frozen=True, kw_only=True)
class ResultMemory:
    """Answers in ``directory``; ``None`` remembers nothing."""

    directory: Path | None

    def recall(self, key: str, longest_s: float = LONGEST_S) -> dict[str, Any] | None:
        """Return the answer under ``key`` that is not older than ``longest_s``, or ``None``."""
        path = self._path(key, "json")
        if path is None:
            return None
        with contextlib.suppress(OSError, ValueError):
            if time.time() - path.stat().st_mtime < longest_s and path.stat().st_size < MAX_ANSWER_BYTES:
                value = json.loads(path.read_text(encoding="utf-8"))
                return value if isinstance(value, dict) else None
        return None

    def recall_believed(self, key: str) -> dict[str, Any] | None:
        """Return the answer under ``key`` unless it is trouble that came once only, or more than a day ago."""
        value = self.recall(key)
        if value is None or not value.get("problem"):
            return value
        return self.recall(key, DAY_S) if value.get("times") in range(BELIEVED, MAX_TIMES) else None

    def remember_trouble(self, key: str, value: dict[str, Any], *, least_times: int = 1) -> None:
        """Keep an answer with a ``problem``, counting how often in a row it was the same one."""
        before = self.recall(key) or {}
        times = before.get("times") if before.get("problem") == value["problem"] else None
        times = min(times + 1, MAX_TIMES - 1) if type(times) is int else 1
        self.remember(key, {**value, "times": max(times, least_times)})

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

    def forget(self, key: str) -> None:
        """Forget the answer under ``key``."""
        path = self._path(key, "json")
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def abrupt_ends(self, key: str) -> int:
        """Return how often in a row a process ended while it did what :meth:`trying` marks."""
        path = self._path(key, "trying")
        return sum(not _is_alive(mark) for mark in _read_marks(path)) if path else 0

    @contextlib.contextmanager
    def trying(self, key: str) -> Iterator[None]:
        """Mark that something is done which may end the process; the mark goes when the block is left.

        Marks that others left behind stay until :meth:`succeeded`.
        """
        path = self._path(key, "trying")
        if path is not None:
            _write_marks(path, [*_read_marks(path), _own_mark()])
        try:
            yield
        finally:
            if path is not None:
                marks = _read_marks(path)
                with contextlib.suppress(ValueError):
                    marks.remove(_own_mark())
                _write_marks(path, marks)

    def succeeded(self, key: str) -> None:
        """Forget the abrupt ends of what is marked with ``key``: it was done to its end now."""
        path = self._path(key, "trying")
        if path is not None:
            _write_marks(path, [mark for mark in _read_marks(path) if _is_alive(mark)])

    def _path(self, key: str, suffix: str) -> Path | None:
        return self.directory / f"{key[:32]}.{suffix}" if self.directory else None


def default_memory(environ: Mapping[str, str]) -> ResultMemory:
    """The memory of a packed file; a program that was not unpacked by a launcher has none."""
    entry = environ.get("PACKER_CACHE_ENTRY")
    return ResultMemory(directory=Path(entry).parent / DIRECTORY if entry else None)


def key_of(*parts: Any) -> str:
    """Digest of plain JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read_marks(path: Path) -> list[str]:
    """The processes that are or were at it: each its number and when it began."""
    with contextlib.suppress(OSError, ValueError):
        return [line for line in path.read_text(encoding="ascii").splitlines() if len(line.split()) == 2]
    return []


def _write_marks(path: Path, marks: list[str]) -> None:
    with contextlib.suppress(OSError):
        if not marks:
            path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        scratch.write_text("".join(f"{mark}\n" for mark in marks), encoding="ascii")
        scratch.replace(path)


def _own_mark() -> str:
    return _mark_of(os.getpid())


@functools.cache
def _mark_of(process: int) -> str:
    """A process; its number alone is not enough: in a container that is started anew it is the same each time."""
    return f"{process} {_began(process) or uuid.uuid4().hex}"


def _is_alive(mark: str) -> bool:
    """Tell whether the process of a mark runs. Windows is not asked: another process' mark there counts at once."""
    number, began = mark.split()
    return mark == _own_mark() or (number.isdecimal() and _began(int(number)) == began)


def _began(process: int) -> str:
    """When a process was started, as the kernel counts (proc(5), the 22nd field of ``stat``); empty if it is gone."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}-{fields[19]}"
    return ""
