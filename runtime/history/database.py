"""One SQLite file, used by many threads and by other processes at the same time.

Write-ahead logging with ``synchronous=FULL``: what was answered for has reached the disk, readers never wait for a
writer, and a process that is killed leaves a whole file. Nothing is spilled into temporary files elsewhere, and what is
deleted is overwritten.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import TYPE_CHECKING

from runtime.history.errors import HistoryError, StoreDamagedError, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BUSY_TIMEOUT_S = 5.0
MAX_IDLE_CONNECTIONS = 4
WAL_LIMIT_BYTES = 8 << 20
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",
    "temp_store = MEMORY",
    "cache_size = -8000",
    "trusted_schema = OFF",
    f"journal_size_limit = {WAL_LIMIT_BYTES}",
)


class Database:
    """Connections to the file at ``path``, lent for the length of one transaction."""

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Remember where; nothing is opened yet. ``on_damage`` is called once when the file turns out damaged."""
        self.path = path
        self.on_damage: Callable[[], None] = lambda: None
        self._busy_timeout_s = busy_timeout_s
        self._idle: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._writer = threading.Lock()
        self._closed = False

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection on which everything read belongs to one moment. Raises HistoryError."""
        with self._lent("BEGIN") as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection whose changes are kept when the block ends, all or none. Raises HistoryError."""
        with self._writer, self._lent("BEGIN IMMEDIATE") as connection:
            yield connection

    def close(self) -> None:
        """Close what is idle; connections in use are closed when they come back."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextlib.contextmanager
    def _lent(self, begin: str) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._take()
            try:
                connection.execute(begin)
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            finally:
                self._put_back(connection)
        except sqlite3.Error as error:
            problem = translated(error, self.path)
            if isinstance(problem, StoreDamagedError):
                self.on_damage()
            raise problem from error

    def _take(self) -> sqlite3.Connection:
        with self._guard:
            if self._closed:
                raise HistoryError("the program is ending; nothing is kept any more")
            if self._idle:
                return self._idle.pop()
        return connect(self.path, self._busy_timeout_s)

    def _put_back(self, connection: sqlite3.Connection) -> None:
        with self._guard:
            if not self._closed and not connection.in_transaction and len(self._idle) < MAX_IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()


def connect(path: Path, busy_timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """Open the file at ``path``, readable by its owner alone; make it when it is missing. Raises sqlite3.Error."""
    _create_private(path)
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
    try:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


def _create_private(path: Path) -> None:
    """Make the file before SQLite does, with mode 0600; its -wal and -shm files get the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise HistoryError(f"{path}: can't be opened ({error.strerror})") from error
