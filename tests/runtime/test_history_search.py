"""The search index never drifts from the texts, whatever happens to them, and does without FTS5 where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.history import schema, search
from runtime.history import store as store_module
from runtime.history.chats import DAY_MS, ChatStore
from runtime.history.database import Database
from runtime.history.errors import MissingError
from runtime.history.records import ChatDraft, MessageDraft
from runtime.history.search import SearchIndex, segmented, snippet
from runtime.history.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.history.store import Store

WORDS = ("apple", "Äpfel", "京都", "x1")
TEXTS = st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)
NUM_CHATS = 2
STEPS = st.one_of(
    st.tuples(st.just("rename"), TEXTS),
    st.tuples(st.just("add"), TEXTS, st.sampled_from(["done", "streaming"])),
    st.tuples(st.just("change"), TEXTS, st.sampled_from(["done", "streaming", "stopped"])),
    st.tuples(st.just("delete")),
    st.tuples(st.just("restore")),
    st.tuples(st.just("tidy")),
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    base = Database(tmp_path_factory.mktemp("search") / "chats.db")
    with base.writing() as connection:
        schema.migrate(connection, base.path)
    yield base
    base.close()


class Model:
    """What the chats hold, kept the plain way, beside the store."""

    def __init__(self, store: ChatStore) -> None:
        self.store = store
        self.chats: dict[str, dict[str, Any]] = {}
        for _ in range(NUM_CHATS):
            self.chats[store.create_chat(ChatDraft())["id"]] = {"title": "", "messages": {}, "deleted": False}

    def apply(self, number: int, step: tuple[Any, ...]) -> None:
        if step[0] == "tidy":
            self._tidy()
        elif number < len(self.chats):
            chat_id = list(self.chats)[number]
            getattr(self, f"_{step[0]}")(chat_id, self.chats[chat_id], *step[1:])

    def _rename(self, chat_id: str, chat: dict[str, Any], text: str) -> None:
        self.store.change_chat(chat_id, {"title": text})
        chat["title"] = text

    def _add(self, chat_id: str, chat: dict[str, Any], text: str, state: str) -> None:
        draft = MessageDraft(role="user", content=text, state=state)
        chat["messages"][self.store.add_message(chat_id, None, draft)["id"]] = (text, state)

    def _change(self, chat_id: str, chat: dict[str, Any], text: str, state: str) -> None:
        for message_id in list(chat["messages"])[-1:]:
            self.store.change_message(chat_id, message_id, {"content": text, "state": state})
            chat["messages"][message_id] = (text, state)

    def _delete(self, chat_id: str, chat: dict[str, Any]) -> None:
        self.store.delete_chat(chat_id)
        chat["deleted"] = True

    def _restore(self, chat_id: str, chat: dict[str, Any]) -> None:
        self.store.restore_chat(chat_id)
        chat["deleted"] = False

    def _tidy(self) -> None:
        self.store.tidy(is_alone=True)
        self.chats = {chat_id: chat for chat_id, chat in self.chats.items() if not chat["deleted"]}
        for chat in self.chats.values():
            chat["messages"] = {
                name: (text, "stopped" if state == "streaming" else state)
                for name, (text, state) in chat["messages"].items()
            }

    def found(self, word: str) -> set[str]:
        return {
            chat_id
            for chat_id, chat in self.chats.items()
            if not chat["deleted"] and any(word in text for text in [chat["title"], *self._shown_texts(chat)])
        }

    def _shown_texts(self, chat: dict[str, Any]) -> list[str]:
        return [text for text, state in chat["messages"].values() if state != "streaming"]


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, NUM_CHATS - 1), STEPS), max_size=12))
@pytest.mark.parametrize("has_fts5", [True, False])
def test_every_text_is_found_and_nothing_else(
    database: Database, has_fts5: bool, steps: list[tuple[int, tuple[Any, ...]]]
) -> None:
    index = SearchIndex(has_fts5=has_fts5)
    with database.writing() as connection:
        connection.execute("DELETE FROM chats")
        index.reset(connection)
        index.prepare(connection)
    store = ChatStore(database, index)
    model = Model(store)
    for number, step in steps:
        model.apply(number, step)
    for word in WORDS:
        assert {chat["id"] for chat in store.list_chats(word)} == model.found(word)
    if has_fts5:
        with database.writing() as connection:
            connection.execute("INSERT INTO search (search) VALUES ('integrity-check')")


def filled(store: Store) -> str:
    """A chat with a text to find; returns its id."""
    chat_id: str = store.chats.create_chat(ChatDraft(title="Gardens"))["id"]
    store.chats.add_message(chat_id, None, MessageDraft(role="user", content="A 100%_sure gnome"))
    return chat_id


def found(store: Store, query: str) -> int:
    return len(store.chats.list_chats(query))


def test_without_fts5_texts_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a program that has FTS5 again finds what was kept meanwhile."""
    first = open_store(tmp_path, pytest.fail)
    filled(first)
    first.close()
    with monkeypatch.context() as patched:
        patched.setattr(store_module, "fts5_available", lambda: False)
        second = open_store(tmp_path, pytest.fail)
        filled(second)
        assert [found(second, query) for query in ("gnome", "GNOME", "gard", "nome", "100 sure", "giant")] == [
            2, 2, 2, 2, 2, 0
        ]  # fmt: skip
        assert "gnome" in second.chats.list_chats("gnome")[0]["snippet"]
        second.close()
    third = open_store(tmp_path, pytest.fail)
    assert [found(third, query) for query in ("gnome", "gard", "nome", "giant")] == [2, 2, 0, 0]
    third.close()


def test_an_index_of_other_rules_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_store(tmp_path, pytest.fail)
    filled(first)
    first.close()
    monkeypatch.setattr(search, "INDEX_VERSION", "2")
    monkeypatch.setattr(search, "segmented", lambda text: text.replace("gnome", "dwarf"))
    second = open_store(tmp_path, pytest.fail)
    assert found(second, "dwarf") == 1
    second.close()


def test_a_deleted_chat_is_purged_after_a_day(database: Database) -> None:
    now = [1_000_000_000_000]
    index = SearchIndex(has_fts5=True)
    with database.writing() as connection:
        index.reset(connection)
        index.prepare(connection)
    store = ChatStore(database, index, clock_ms=lambda: now[0])
    first, second, third = (store.create_chat(ChatDraft(title="old"))["id"] for _ in range(3))
    store.delete_chat(first)
    now[0] += DAY_MS - 1
    store.delete_chat(second)
    assert store.restore_chat(first)["id"] == first
    store.delete_chat(first)
    now[0] += DAY_MS
    store.delete_chat(third)
    assert store.restore_chat(third)["id"] == third
    for gone in (first, second):
        with pytest.raises(MissingError):
            store.restore_chat(gone)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plain words", ["plain", "words"]),
        ("我爱京都", ["我", "爱", "京", "都"]),
        ("Tokyo東京2020", ["Tokyo", "東", "京", "2020"]),
        ("カタカナ", ["カ", "タ", "カ", "ナ"]),
        ("한국", ["한", "국"]),
        ("ไทย", ["ไ", "ท", "ย"]),
    ],
)
def test_scripts_without_spaces_are_split(text: str, words: list[str]) -> None:
    assert segmented(text).split() == words


def test_snippets_are_short_and_on_one_line() -> None:
    text = "start " * 50 + "the\n\nNEEDLE  here " + "end " * 50
    shown = snippet(text, ["needle"])
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert "the NEEDLE here" in shown
    assert snippet("short", ["nothing"]) == "short"
    assert snippet("", ["x"]) == ""
