"""The tables, and how a file of an earlier version becomes one of this version.

``PRAGMA user_version`` counts the migrations that a file has been through, ``PRAGMA application_id`` marks it as ours.
Times are milliseconds since 1970 in UTC; JSON values are kept as text. Messages with the same parent are alternatives
to each other: the branches of a chat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.history.errors import HistoryOffError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

APPLICATION_ID = 0x50434854
"""``PCHT`` in ASCII."""

FIRST = """
CREATE TABLE chats (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    folder TEXT NOT NULL,
    pinned INTEGER NOT NULL,
    settings TEXT NOT NULL,
    current_seq INTEGER,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    deleted_ms INTEGER
);
CREATE INDEX chats_listed ON chats (deleted_ms, pinned, updated_ms);
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    chat_seq INTEGER NOT NULL REFERENCES chats ON DELETE CASCADE,
    parent_seq INTEGER REFERENCES messages,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    reasoning TEXT,
    tool_calls TEXT,
    tool_call_id TEXT,
    state TEXT NOT NULL,
    finish_reason TEXT,
    usage TEXT,
    timings TEXT,
    model TEXT,
    indexed INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL
);
CREATE INDEX messages_of_chat ON messages (chat_seq);
CREATE INDEX messages_of_parent ON messages (parent_seq);
CREATE INDEX messages_streaming ON messages (seq) WHERE state = 'streaming';
CREATE TABLE attachments (
    message_seq INTEGER NOT NULL REFERENCES messages ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    text TEXT,
    image_url TEXT
);
CREATE INDEX attachments_of_message ON attachments (message_seq, position);
CREATE TABLE presets (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    system_prompt TEXT NOT NULL,
    sampling TEXT NOT NULL,
    created_ms INTEGER NOT NULL
);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
MIGRATIONS = (FIRST,)
"""What brings a file from version ``n`` to ``n + 1``: SQL statements, each ending with a semicolon."""


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the file up to date inside the open transaction.

    Raises HistoryOffError for a database of another program or of a newer version of this one; nothing is changed then.
    """
    version = _pragma(connection, "user_version")
    mark = _pragma(connection, "application_id")
    if mark != APPLICATION_ID and (mark or version or _has_tables(connection)):
        raise HistoryOffError(f"{path}: is a database of another program; choose another place with --data-dir")
    if version > len(migrations):
        raise HistoryOffError(
            f"{path}: was written by a newer version of this program (layout {version}, this one knows "
            f"{len(migrations)}); use that one, or keep chats elsewhere with --data-dir"
        )
    for script in migrations[version:]:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.execute(statement)
    if version < len(migrations):
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None
