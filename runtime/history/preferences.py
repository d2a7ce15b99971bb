"""Preferences of the page and saved presets: small things that a second browser shall see too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.history.chats import new_id, now_ms
from runtime.history.errors import InvalidError, MissingError
from runtime.history.records import packed, timestamp, unpacked

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from runtime.history.database import Database

MAX_PRESETS = 500
NAME = "preferences"


class PreferenceStore:
    """One JSON object of preferences, and presets by name."""

    def __init__(self, database: Database, clock_ms: Callable[[], int] = now_ms) -> None:
        """Keep everything in ``database``."""
        self._database = database
        self._clock_ms = clock_ms

    def read(self) -> dict[str, Any]:
        """Return the preferences; none yet is an empty object."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM facts WHERE name = ?", (NAME,)).fetchone()
        return unpacked(row["value"]) if row else {}

    def write(self, preferences: dict[str, Any]) -> None:
        """Replace the preferences."""
        with self._database.writing() as connection:
            connection.execute("REPLACE INTO facts VALUES (?, ?)", (NAME, packed(preferences)))

    def list_presets(self) -> list[dict[str, Any]]:
        """Return all presets by name."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT * FROM presets ORDER BY name COLLATE NOCASE, seq").fetchall()
        return [_document(row) for row in rows]

    def add_preset(self, name: str, system_prompt: str, sampling: dict[str, Any]) -> dict[str, Any]:
        """Keep a new preset. Raises InvalidError when there are very many."""
        values = (new_id(), name, system_prompt, packed(sampling), self._clock_ms())
        with self._database.writing() as connection:
            if connection.execute("SELECT count(*) FROM presets").fetchone()[0] >= MAX_PRESETS:
                raise InvalidError("", f"there are {MAX_PRESETS} presets already; delete one first")
            connection.execute(
                "INSERT INTO presets (id, name, system_prompt, sampling, created_ms) VALUES (?, ?, ?, ?, ?)", values
            )
            return _preset(connection, values[0])

    def replace_preset(self, preset_id: str, name: str, system_prompt: str, sampling: dict[str, Any]) -> dict[str, Any]:
        """Change a preset. Raises MissingError."""
        with self._database.writing() as connection:
            _preset(connection, preset_id)
            connection.execute(
                "UPDATE presets SET name = ?, system_prompt = ?, sampling = ? WHERE id = ?",
                (name, system_prompt, packed(sampling), preset_id),
            )
            return _preset(connection, preset_id)

    def delete_preset(self, preset_id: str) -> None:
        """Delete a preset. Raises MissingError."""
        with self._database.writing() as connection:
            _preset(connection, preset_id)
            connection.execute("DELETE FROM presets WHERE id = ?", (preset_id,))


def _preset(connection: sqlite3.Connection, preset_id: str) -> dict[str, Any]:
    row = connection.execute("SELECT * FROM presets WHERE id = ?", (preset_id,)).fetchone()
    if row is None:
        raise MissingError(f"there is no preset {preset_id!r:.40}")
    return _document(row)


def _document(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "system_prompt": row["system_prompt"],
        "sampling": unpacked(row["sampling"]),
        "created_at": timestamp(row["created_ms"]),
    }
