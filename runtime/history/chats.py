"""The chats themselves: list, read, change, delete and undo, and the tree of messages in each."""

from __future__ import annotations

import secrets
import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from runtime.history.errors import MissingError
from runtime.history.records import (
    MessageDraft,
    attachment_document,
    chat_document,
    message_document,
    packed,
    unpacked,
)
from runtime.history.search import message_key, snippet, terms_of, title_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping

    from runtime.history.database import Database
    from runtime.history.records import ChatDraft, WholeChat
    from runtime.history.search import SearchIndex

ID_BYTES = 10
DAY_MS = 24 * 3600 * 1000
JSON_COLUMNS = frozenset({"tool_calls", "usage", "timings", "settings"})
NUM_MESSAGES = "(SELECT count(*) FROM messages WHERE messages.chat_seq = chats.seq) AS num_messages"
LISTED = f"""
    SELECT *, {NUM_MESSAGES} FROM chats WHERE deleted_ms IS NULL ORDER BY pinned DESC, updated_ms DESC, seq DESC
"""
DELETED = f"SELECT *, {NUM_MESSAGES} FROM chats WHERE deleted_ms > 0 ORDER BY deleted_ms DESC"
MESSAGES = """
    SELECT messages.*, parents.id AS parent_id FROM messages LEFT JOIN messages AS parents
        ON parents.seq = messages.parent_seq WHERE messages.chat_seq = ? ORDER BY messages.seq
"""
ATTACHMENTS = """
    SELECT attachments.* FROM messages JOIN attachments ON attachments.message_seq = messages.seq
        WHERE messages.chat_seq = ? ORDER BY messages.seq, attachments.position
"""
MESSAGE_COLUMNS = tuple(field.name for field in fields(MessageDraft) if field.name not in {"attachments"})


def now_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """Return an identifier that nobody else has."""
    return secrets.token_hex(ID_BYTES)


class ChatStore:
    """Every method is one transaction; what it returns has reached the disk."""

    def __init__(self, database: Database, index: SearchIndex, clock_ms: Callable[[], int] = now_ms) -> None:
        """``index`` is kept in step with what is kept in ``database``."""
        self._database = database
        self._index = index
        self._clock_ms = clock_ms

    def list_chats(self, query: str = "", *, deleted: bool = False) -> list[dict[str, Any]]:
        """List chats, pinned first, then newest first; with ``query``, those that have all its words."""
        terms = terms_of(query)
        with self._database.reading() as connection:
            rows = connection.execute(DELETED if deleted else LISTED).fetchall()
            if not terms:
                return [] if query.strip() else [chat_document(row) for row in rows]
            found: dict[int, int | None] = {}
            for chat_seq, message_seq in self._index.matching(connection, terms):
                found[chat_seq] = message_seq if message_seq is not None else found.get(chat_seq)
            return [
                chat_document(row) | _snippet(connection, found[row["seq"]], terms)
                for row in rows
                if row["seq"] in found
            ]

    def create_chat(self, draft: ChatDraft) -> dict[str, Any]:
        """Keep a new chat without messages."""
        with self._database.writing() as connection:
            seq = self._insert_chat(connection, draft)
            return _whole_chat(connection, seq)

    def read_chat(self, chat_id: str) -> dict[str, Any]:
        """Return a chat with all its messages, oldest first. Raises MissingError."""
        with self._database.reading() as connection:
            return _whole_chat(connection, _chat_row(connection, chat_id)["seq"])

    def read_all(self) -> list[dict[str, Any]]:
        """Return all chats that are not deleted, each with its messages, in the order of the list."""
        with self._database.reading() as connection:
            return [_whole_chat(connection, row["seq"]) for row in connection.execute(LISTED).fetchall()]

    def change_chat(self, chat_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change ``title``, ``folder``, ``pinned``, ``settings`` or ``current_message_id``. Raises MissingError."""
        values = dict(changes)
        with self._database.writing() as connection:
            row = _chat_row(connection, chat_id)
            if "current_message_id" in values:
                wanted = values.pop("current_message_id")
                values["current_seq"] = None if wanted is None else _message_row(connection, row, wanted)["seq"]
            if "title" in values:
                self._index.remove(connection, title_key(row["seq"]), row["title"])
                self._index.add(connection, title_key(row["seq"]), values["title"])
            _update(connection, "chats", row["seq"], values)
            return _summary(connection, row["seq"])

    def delete_chat(self, chat_id: str) -> None:
        """Put a chat away; it can be restored for a day, or until the program starts again. Raises MissingError."""
        with self._database.writing() as connection:
            row = _chat_row(connection, chat_id)
            _update(connection, "chats", row["seq"], {"deleted_ms": self._clock_ms()})
            self._purge(connection, self._clock_ms() - DAY_MS)

    def restore_chat(self, chat_id: str) -> dict[str, Any]:
        """Undo a deletion. Raises MissingError."""
        with self._database.writing() as connection:
            row = _chat_row(connection, chat_id)
            _update(connection, "chats", row["seq"], {"deleted_ms": None})
            return _summary(connection, row["seq"])

    def add_message(self, chat_id: str, parent_id: str | None, draft: MessageDraft) -> dict[str, Any]:
        """Keep a message below ``parent_id`` and make it the current one. Raises MissingError."""
        with self._database.writing() as connection:
            chat = _chat_row(connection, chat_id)
            parent = None if parent_id is None else _message_row(connection, chat, parent_id)["seq"]
            seq = self._insert_message(connection, chat["seq"], parent, draft)
            _update(connection, "chats", chat["seq"], {"current_seq": seq, "updated_ms": self._clock_ms()})
            return _one_message(connection, seq)

    def change_message(self, chat_id: str, message_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of a message by the names of MessageDraft. Raises MissingError."""
        with self._database.writing() as connection:
            chat = _chat_row(connection, chat_id)
            row = _message_row(connection, chat, message_id)
            values = dict(changes)
            content, state = values.get("content", row["content"]), values.get("state", row["state"])
            is_wanted, key = state != "streaming", message_key(chat["seq"], row["seq"])
            if row["indexed"] and (not is_wanted or content != row["content"]):
                self._index.remove(connection, key, row["content"])
            if is_wanted and (not row["indexed"] or content != row["content"]):
                self._index.add(connection, key, content)
            _update(connection, "messages", row["seq"], values | {"indexed": int(is_wanted)})
            _update(connection, "chats", chat["seq"], {"updated_ms": self._clock_ms()})
            return _one_message(connection, row["seq"])

    def import_chats(self, chats: Iterable[WholeChat]) -> list[dict[str, Any]]:
        """Keep chats from elsewhere beside those that are here, all or none; return them as the list shows them."""
        with self._database.writing() as connection:
            return [_summary(connection, self._insert_whole(connection, whole)) for whole in chats]

    def tidy(self, *, is_alone: bool) -> None:
        """At the start: end replies that were cut off, and purge what was deleted.

        With another process at work on the same chats, its replies and what it could still restore are left alone.
        """
        with self._database.writing() as connection:
            if is_alone:
                cut_off = connection.execute("SELECT * FROM messages WHERE state = 'streaming'").fetchall()
                for row in cut_off:
                    _update(connection, "messages", row["seq"], {"state": "stopped", "indexed": 1})
                    self._index.add(connection, message_key(row["chat_seq"], row["seq"]), row["content"])
            self._purge(connection, self._clock_ms() if is_alone else self._clock_ms() - DAY_MS)

    def _purge(self, connection: sqlite3.Connection, until_ms: int) -> None:
        gone = connection.execute("SELECT seq, title FROM chats WHERE deleted_ms <= ?", (until_ms,)).fetchall()
        for chat in gone:
            self._index.remove(connection, title_key(chat["seq"]), chat["title"])
            texts = "SELECT seq, content FROM messages WHERE chat_seq = ? AND indexed"
            for row in connection.execute(texts, (chat["seq"],)).fetchall():
                self._index.remove(connection, message_key(chat["seq"], row["seq"]), row["content"])
            connection.execute("DELETE FROM chats WHERE seq = ?", (chat["seq"],))
        if gone:
            self._index.forget_removed(connection)

    def _insert_chat(self, connection: sqlite3.Connection, draft: ChatDraft) -> int:
        now = self._clock_ms()
        created = now if draft.created_ms is None else draft.created_ms
        values = {
            "id": new_id(),
            "title": draft.title,
            "folder": draft.folder,
            "pinned": draft.pinned,
            "settings": draft.settings,
            "created_ms": created,
            "updated_ms": draft.updated_ms if draft.updated_ms is not None else created,
        }
        seq = _insert(connection, "chats", values)
        self._index.add(connection, title_key(seq), draft.title)
        return seq

    def _insert_message(
        self, connection: sqlite3.Connection, chat_seq: int, parent_seq: int | None, draft: MessageDraft
    ) -> int:
        values = {name: getattr(draft, name) for name in MESSAGE_COLUMNS}
        if draft.created_ms is None:
            values["created_ms"] = self._clock_ms()
        is_indexed = draft.state != "streaming"
        links = {"id": new_id(), "chat_seq": chat_seq, "parent_seq": parent_seq, "indexed": int(is_indexed)}
        seq = _insert(connection, "messages", values | links)
        for position, attachment in enumerate(draft.attachments):
            _insert(connection, "attachments", {"message_seq": seq, "position": position, **vars(attachment)})
        if is_indexed:
            self._index.add(connection, message_key(chat_seq, seq), draft.content)
        return seq

    def _insert_whole(self, connection: sqlite3.Connection, whole: WholeChat) -> int:
        chat_seq = self._insert_chat(connection, whole.chat)
        seqs: list[int] = []
        for draft, parent in zip(whole.messages, whole.parents, strict=True):
            parent_seq = None if parent is None else seqs[parent]
            seqs.append(self._insert_message(connection, chat_seq, parent_seq, draft))
        if whole.current is not None:
            _update(connection, "chats", chat_seq, {"current_seq": seqs[whole.current]})
        return chat_seq


def _chat_row(connection: sqlite3.Connection, chat_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute("SELECT * FROM chats WHERE id = ?", (chat_id,)).fetchone()
    if row is None:
        raise MissingError(f"there is no chat {chat_id!r:.40}; it may have been deleted for good")
    return row


def _message_row(connection: sqlite3.Connection, chat: sqlite3.Row, message_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute("SELECT * FROM messages WHERE id = ?", (message_id,)).fetchone()
    if row is None or row["chat_seq"] != chat["seq"]:
        raise MissingError(f"there is no message {message_id!r:.40} in this chat")
    return row


def _summary(connection: sqlite3.Connection, chat_seq: int) -> dict[str, Any]:
    """Return a chat without its messages."""
    row = connection.execute(f"SELECT *, {NUM_MESSAGES} FROM chats WHERE seq = ?", (chat_seq,)).fetchone()
    current = connection.execute("SELECT id FROM messages WHERE seq = ?", (row["current_seq"],)).fetchone()
    details = {"settings": unpacked(row["settings"]), "current_message_id": current["id"] if current else None}
    return chat_document(row) | details


def _whole_chat(connection: sqlite3.Connection, chat_seq: int) -> dict[str, Any]:
    attached: dict[int, list[dict[str, Any]]] = {}
    for row in connection.execute(ATTACHMENTS, (chat_seq,)):
        attached.setdefault(row["message_seq"], []).append(attachment_document(row))
    rows = connection.execute(MESSAGES, (chat_seq,))
    messages = [message_document(row, attached.get(row["seq"], [])) for row in rows]
    return _summary(connection, chat_seq) | {"messages": messages}


def _one_message(connection: sqlite3.Connection, seq: int) -> dict[str, Any]:
    query = """
        SELECT messages.*, parents.id AS parent_id FROM messages LEFT JOIN messages AS parents
            ON parents.seq = messages.parent_seq WHERE messages.seq = ?
    """
    attached = connection.execute("SELECT * FROM attachments WHERE message_seq = ? ORDER BY position", (seq,))
    return message_document(
        connection.execute(query, (seq,)).fetchone(), [attachment_document(row) for row in attached]
    )


def _snippet(connection: sqlite3.Connection, message_seq: int | None, terms: list[str]) -> dict[str, str]:
    """Return the place of the message that was found; nothing when it was the title."""
    if message_seq is None:
        return {}
    row = connection.execute("SELECT content FROM messages WHERE seq = ?", (message_seq,)).fetchone()
    return {"snippet": snippet(row["content"], terms)}


def _insert(connection: sqlite3.Connection, table: str, values: Mapping[str, Any]) -> int:
    """Insert a row; the names are this module's own, never a client's."""
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    cursor = connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", _bound(values))
    return int(cursor.lastrowid or 0)


def _update(connection: sqlite3.Connection, table: str, seq: int, values: Mapping[str, Any]) -> None:
    """Change a row; the names are those of checked fields."""
    if values:
        assignments = ", ".join(f"{name} = ?" for name in values)
        connection.execute(f"UPDATE {table} SET {assignments} WHERE seq = ?", [*_bound(values), seq])


def _bound(values: Mapping[str, Any]) -> list[Any]:
    return [packed(value) if name in JSON_COLUMNS else value for name, value in values.items()]
