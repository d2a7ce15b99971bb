"""Opens a directory of chats: makes it, brings it up to date, sets a damaged file aside."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.history import schema
from runtime.history.chats import ChatStore
from runtime.history.database import Database
from runtime.history.errors import HistoryOffError, StoreDamagedError
from runtime.history.place import FILE_NAME
from runtime.history.preferences import PreferenceStore
from runtime.history.run_lock import RunLock
from runtime.history.search import SearchIndex, fts5_available

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAMAGE_MARK = "damaged"
SIDE_FILES = ("-wal", "-shm")


@dataclass(frozen=True, kw_only=True)
class Store:
    """An open directory of chats."""

    database: Database
    chats: ChatStore
    preferences: PreferenceStore
    lock: RunLock

    def close(self) -> None:
        """Close the file and give back the lock."""
        self.database.close()
        self.lock.close()


def open_store(directory: Path, note: Callable[[str], None]) -> Store:
    """Open the chats in ``directory``, private to this user; a fresh start when there are none.

    A damaged file keeps existing under another name, and ``note`` gets a sentence about it. Raises HistoryError.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = RunLock(directory)
    except OSError as error:
        raise HistoryOffError(f"{directory}: chats can't be kept there ({error.strerror})") from error
    try:
        return _open(directory, lock, note)
    except BaseException:
        lock.close()
        raise


def _open(directory: Path, lock: RunLock, note: Callable[[str], None]) -> Store:
    path = directory / FILE_NAME
    try:
        return _prepare(path, lock)
    except StoreDamagedError:
        if not lock.is_alone:
            raise
    aside = set_aside(path)
    (directory / DAMAGE_MARK).unlink(missing_ok=True)
    note(f"the kept chats are damaged; the file is now {aside}, and a new one is started")
    return _prepare(path, lock)


def _prepare(path: Path, lock: RunLock) -> Store:
    """Open the file. Raises StoreDamagedError when it is no sound database."""
    mark = path.parent / DAMAGE_MARK
    database, index = Database(path), SearchIndex(has_fts5=fts5_available())
    chats = ChatStore(database, index)
    try:
        with database.writing() as connection:
            schema.migrate(connection, path)
            if mark.exists():
                found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
                if found != "ok":
                    raise StoreDamagedError(f"{path}: is damaged ({found})")
                index.reset(connection)
            index.prepare(connection)
        chats.tidy(is_alone=lock.is_alone)
    except BaseException:
        database.close()
        raise
    mark.unlink(missing_ok=True)
    database.on_damage = lambda: mark.touch(mode=0o600)
    return Store(database=database, chats=chats, preferences=PreferenceStore(database), lock=lock)


def set_aside(path: Path) -> Path:
    """Rename a damaged file, and what belongs to it, to a name with the time; return that name."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.stem}-damaged-{moment}{path.suffix}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.stem}-damaged-{moment}-{number}{path.suffix}")
    for suffix in ("", *SIDE_FILES):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
