"""What can go wrong with kept chats; each error's text is one sentence for the user."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from packer.errors import InputError, MachineError

if TYPE_CHECKING:
    from pathlib import Path

PRIMARY_CODE_MASK = 0xFF
FULL = frozenset({sqlite3.SQLITE_FULL})
BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class HistoryError(MachineError):
    """Chats can't be read or kept."""


class HistoryOffError(HistoryError):
    """Nothing is kept in this run; the text says why."""


class StoreFullError(HistoryError):
    """There is no space left where the chats are kept."""


class StoreBusyError(HistoryError):
    """Another program held the file for too long."""


class StoreDamagedError(HistoryError):
    """The file of the chats is no whole database any more."""


class MissingError(HistoryError):
    """There is no such chat, message or preset."""


class InvalidError(InputError):
    """A chat, message or file to import that can't be used; ``field`` names what is at fault."""

    def __init__(self, field: str, problem: str) -> None:
        """Build the sentence from the two."""
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field


def translated(error: sqlite3.Error, path: Path) -> HistoryError:
    """Turn what SQLite raised for the file at ``path`` into a sentence; the original goes along as its cause."""
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE_MASK
    if code in FULL:
        return StoreFullError(f"{path}: no space is left on the disk; the change was not kept, free some and try again")
    if code in BUSY:
        return StoreBusyError(f"{path}: another program is writing to it; try again")
    if code in DAMAGED:
        return StoreDamagedError(f"{path}: is damaged ({error}); start this program again and it is set aside")
    return HistoryError(f"{path}: can't be used ({error})")
