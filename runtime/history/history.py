"""What the program asks for kept chats: are there any, why not, where, and the stores themselves."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.history.errors import HistoryError, HistoryOffError
from runtime.history.place import choose_directory
from runtime.history.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from runtime.history.store import Store

_LOG = logging.getLogger(__name__)

SWITCHED_OFF = "switched off with --no-history, or in the settings of this file"
LOCKED_OFF = "whoever packed this file switched that off"
KEPT = "this machine only"


@dataclass(frozen=True, kw_only=True)
class HistoryStatus:
    """Whether chats are kept, why (not), and in which file."""

    enabled: bool
    why: str
    path: str | None


class History:
    """Kept chats that are opened when they are first asked for; without ``open_it``, off for the reason ``why``."""

    def __init__(self, open_it: Callable[[], Store] | None = None, *, why: str = SWITCHED_OFF) -> None:
        """Open nothing yet."""
        self._open_it = open_it
        self._why = why
        self._store: Store | None = None
        self._guard = threading.Lock()

    def store(self) -> Store:
        """Return the open store. Raises HistoryOffError saying why there is none."""
        with self._guard:
            if self._store is None and self._open_it is not None:
                try:
                    self._store = self._open_it()
                    self._why = KEPT
                except HistoryError as error:
                    _LOG.info("chats are not kept: %s", error)
                    self._why = str(error)
                self._open_it = None
            if self._store is None:
                raise HistoryOffError(f"chats are not kept: {self._why}")
            return self._store

    def status(self) -> HistoryStatus:
        """Open what can be opened, and tell."""
        try:
            store = self.store()
        except HistoryOffError:
            return HistoryStatus(enabled=False, why=self._why, path=None)
        return HistoryStatus(enabled=True, why=self._why, path=str(store.database.path))

    def close(self) -> None:
        """Close the store; nothing is kept from here on."""
        with self._guard:
            self._open_it, self._why = None, "the program is ending"
            store, self._store = self._store, None
        if store is not None:
            store.close()


def kept_in(name: str, wanted: Path | None, environ: Mapping[str, str], note: Callable[[str], None]) -> History:
    """Return the history of the assistant ``name``; see :func:`choose_directory` for where it is."""
    return History(lambda: open_store(choose_directory(name, wanted, environ), note))
