"""What keeps lists and chats fast however many there are: every query of a common request finds its rows by an index.

tests/bench/history.py shows how long they take.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from runtime.history import chats
from runtime.history.records import ChatDraft, MessageDraft
from runtime.history.store import open_store

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runtime.history.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path, pytest.fail)
    yield opened
    opened.close()


def queries_of(store: Store, work: Callable[[], Any]) -> list[str]:
    """The statements that ``work`` sends to SQLite, with their values."""
    seen: list[str] = []
    connection: sqlite3.Connection
    with store.database.reading() as connection:
        connection.set_trace_callback(seen.append)
    work()
    with store.database.reading() as connection:
        connection.set_trace_callback(None)
    return [query for query in seen if re.match(r"\s*(SELECT|UPDATE|DELETE)", query)]


def scans(store: Store, query: str) -> list[str]:
    """The steps of a query's plan that look at every row of a table, and sorting."""
    with store.database.reading() as connection:
        steps = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    return [
        step
        for step in steps
        if re.match(r"SCAN (?!search VIRTUAL|messages USING INDEX messages_streaming)", step) or "TEMP B-TREE" in step
    ]


def test_no_request_looks_at_every_row(store: Store) -> None:
    kept = store.chats
    chat_id = kept.create_chat(ChatDraft(title="first"))["id"]
    message_id = kept.add_message(chat_id, None, MessageDraft(role="user", content="needle"))["id"]
    requests: dict[str, Callable[[], Any]] = {
        "list": kept.list_chats,
        "read": lambda: kept.read_chat(chat_id),
        "change": lambda: kept.change_chat(chat_id, {"title": "x", "current_message_id": message_id}),
        "add": lambda: kept.add_message(chat_id, message_id, MessageDraft(role="user", content="x")),
        "grow": lambda: kept.change_message(chat_id, message_id, {"content": "y", "state": "streaming"}),
        "end": lambda: kept.change_message(chat_id, message_id, {"content": "z", "state": "done"}),
        "tidy": lambda: kept.tidy(is_alone=True),
        "delete": lambda: kept.delete_chat(chat_id),
        "restore": lambda: kept.restore_chat(chat_id),
        "deleted": lambda: kept.list_chats(deleted=True),
    }
    for name, work in requests.items():
        queries = queries_of(store, work)
        assert queries, name
        assert {query: scans(store, query) for query in queries} == {query: [] for query in queries}, name


def test_a_search_asks_the_index(store: Store) -> None:
    chat_id = store.chats.create_chat(ChatDraft(title="first"))["id"]
    store.chats.add_message(chat_id, None, MessageDraft(role="user", content="needle"))
    queries = queries_of(store, lambda: store.chats.list_chats("needle"))
    assert any("MATCH" in query for query in queries)
    assert not [step for query in queries for step in scans(store, query) if "messages" in step]


def test_a_scan_is_found(store: Store) -> None:
    assert scans(store, "SELECT * FROM messages WHERE content = 'x'")
    assert scans(store, f"SELECT * FROM ({chats.LISTED}) ORDER BY title")


def test_a_growing_reply_is_one_write(store: Store) -> None:
    """Nothing of the index is touched while a reply grows; that happens once, at its end."""
    chat_id = store.chats.create_chat(ChatDraft())["id"]
    message_id = store.chats.add_message(chat_id, None, MessageDraft(role="assistant", state="streaming"))["id"]
    seen: list[str] = []
    with store.database.reading() as connection:
        connection.set_trace_callback(seen.append)
    store.chats.change_message(chat_id, message_id, {"content": "so far", "state": "streaming"})
    assert not [query for query in seen if "search" in query]
    store.chats.change_message(chat_id, message_id, {"content": "so far", "state": "done"})
    assert [query for query in seen if "INTO search" in query]
    with contextlib.suppress(IndexError):
        store.database._idle[0].set_trace_callback(None)
