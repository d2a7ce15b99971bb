"""The file of the chats: made privately, brought up to date, set aside when damaged, shared."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime.history import schema, store
from runtime.history.database import Database
from runtime.history.errors import (
    HistoryError,
    HistoryOffError,
    MissingError,
    StoreBusyError,
    StoreDamagedError,
    StoreFullError,
)
from runtime.history.history import History, kept_in
from runtime.history.place import choose_directory, directory_name
from runtime.history.records import ChatDraft, MessageDraft
from runtime.history.run_lock import RunLock
from runtime.history.store import Store, open_store, set_aside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKOUT = Path(__file__).parent.parent.parent


def refuse_note(text: str) -> None:
    pytest.fail(f"nothing was to be noted: {text}")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens the store of the test's directory, as often as it likes."""
    stores: list[Store] = []

    def open_one(note: Callable[[str], None] = refuse_note) -> Store:
        stores.append(open_store(tmp_path / "data" / "chats", note))
        return stores[-1]

    yield open_one
    for one in stores:
        one.close()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_is_readable_by_its_owner_alone(opened: Callable[..., Store], tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        opened().chats.create_chat(ChatDraft(title="x"))
    finally:
        os.umask(before)
    directory = tmp_path / "data" / "chats"
    assert mode_of(directory) == 0o700
    files = {path.name: mode_of(path) for path in directory.iterdir()}
    assert files == dict.fromkeys(("chats.db", "chats.db-wal", "chats.db-shm", "in-use"), 0o600)


def test_chats_are_there_on_the_next_start(opened: Callable[..., Store]) -> None:
    first = opened()
    chat_id = first.chats.create_chat(ChatDraft(title="kept"))["id"]
    first.close()
    assert opened().chats.read_chat(chat_id)["title"] == "kept"


def test_what_is_written_is_on_the_disk(opened: Callable[..., Store]) -> None:
    with opened().database.reading() as connection:
        found = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "secure_delete", "temp_store", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "temp_store": 2, "foreign_keys": 1}


def test_a_newer_file_is_refused_and_left_alone(opened: Callable[..., Store], tmp_path: Path) -> None:
    opened().close()
    path = tmp_path / "data" / "chats" / "chats.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(HistoryOffError, match=r"newer version.*layout 99, this one knows 1.*--data-dir"):
        opened()
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused(opened: Callable[..., Store], tmp_path: Path) -> None:
    directory = tmp_path / "data" / "chats"
    directory.mkdir(parents=True)
    with closing(sqlite3.connect(directory / "chats.db")) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    with pytest.raises(HistoryOffError, match="another program"):
        opened()


def test_an_older_file_is_brought_up_to_date_once(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    later = (*schema.MIGRATIONS, "ALTER TABLE chats ADD COLUMN colour TEXT;\nUPDATE chats SET colour = 'blue';\n")
    for _ in range(2):
        base = Database(path)
        with base.writing() as connection:
            schema.migrate(connection, path)
            connection.execute("REPLACE INTO presets VALUES (1, 'p', 'n', '', '{}', 0)")
        base.close()
    for _ in range(2):
        base = Database(path)
        with base.writing() as connection:
            schema.migrate(connection, path, later)
            assert connection.execute("SELECT name FROM presets").fetchone()["name"] == "n"
            assert "colour" in connection.execute("SELECT * FROM chats").description[-1]
        base.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    base = Database(path)
    with base.writing() as connection:
        schema.migrate(connection, path)
    broken = (*schema.MIGRATIONS, "CREATE TABLE half (x);\nCREATE TABLE half (x);\n")
    with pytest.raises(HistoryError), base.writing() as connection:
        schema.migrate(connection, path, broken)
    with base.reading() as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
        assert connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'half'").fetchone() is None
    base.close()


@pytest.mark.parametrize(
    "content", [b"this is no database at all " * 50, b"SQLite format 3\0" + bytes(range(256)) * 40]
)
def test_a_damaged_file_is_set_aside_whole(opened: Callable[..., Store], tmp_path: Path, content: bytes) -> None:
    directory = tmp_path / "data" / "chats"
    directory.mkdir(parents=True)
    (directory / "chats.db").write_bytes(content)
    notes: list[str] = []
    chat_id = opened(notes.append).chats.create_chat(ChatDraft())["id"]
    aside = next(path for path in directory.iterdir() if "-damaged-" in path.name)
    assert aside.read_bytes() == content
    assert len(notes) == 1
    assert str(aside) in notes[0]
    assert "\n" not in notes[0]
    assert chat_id


def test_damage_found_later_is_told_and_set_aside_on_the_next_start(
    opened: Callable[..., Store], tmp_path: Path
) -> None:
    first = opened()
    chat_id = first.chats.create_chat(ChatDraft(title="first"))["id"]
    for number in range(200):
        first.chats.add_message(chat_id, None, MessageDraft(role="user", content=f"{number} " * 200))
    first.close()
    path = tmp_path / "data" / "chats" / "chats.db"
    content = bytearray(path.read_bytes())
    content[8192 : len(content) - 4096] = b"\xaa" * (len(content) - 12288)
    path.write_bytes(content)
    notes: list[str] = []
    second = opened(notes.append)
    if not notes:
        with pytest.raises(StoreDamagedError, match="start this program again"):
            second.chats.read_chat(chat_id)
        second.close()
        opened(notes.append)
    assert "damaged" in notes[0]
    assert any(bytes(content) == path.read_bytes() for path in path.parent.glob("*-damaged-*.db"))


def test_a_false_alarm_only_makes_the_index_anew(opened: Callable[..., Store], tmp_path: Path) -> None:
    first = opened()
    first.chats.create_chat(ChatDraft(title="green hills"))
    with first.database.writing() as connection:
        connection.execute("DROP TABLE search")
        connection.execute("CREATE VIRTUAL TABLE search USING fts5(text, content='')")
    first.close()
    mark = tmp_path / "data" / "chats" / store.DAMAGE_MARK
    mark.touch()
    second = opened()
    assert [chat["title"] for chat in second.chats.list_chats("hills")] == ["green hills"]
    assert not mark.exists()


def test_names_of_set_aside_files_never_meet(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    names = set()
    for number in range(3):
        path.write_text(str(number))
        names.add(set_aside(path))
    assert {name.read_text() for name in names} == {"0", "1", "2"}


def test_two_at_once_leave_each_other_alone(opened: Callable[..., Store]) -> None:
    first = opened()
    chat_id = first.chats.create_chat(ChatDraft(title="in work"))["id"]
    message = first.chats.add_message(
        chat_id, None, MessageDraft(role="assistant", content="so far", state="streaming")
    )
    gone = first.chats.create_chat(ChatDraft(title="deleted"))["id"]
    first.chats.delete_chat(gone)
    second = opened()
    assert first.lock.is_alone
    assert not second.lock.is_alone
    assert second.chats.read_chat(chat_id)["messages"][0]["state"] == "streaming"
    assert first.chats.restore_chat(gone)["title"] == "deleted"
    second.chats.add_message(chat_id, message["id"], MessageDraft(role="user", content="from the other"))
    assert len(first.chats.read_chat(chat_id)["messages"]) == 2


def test_a_damaged_file_that_another_process_uses_stays(opened: Callable[..., Store], tmp_path: Path) -> None:
    directory = tmp_path / "data" / "chats"
    directory.mkdir(parents=True)
    (directory / "chats.db").write_bytes(b"x" * 5000)
    other = RunLock(directory)
    with pytest.raises(StoreDamagedError):
        opened()
    other.close()
    assert [path.name for path in directory.glob("chats*")] == ["chats.db"]


def test_a_cut_off_reply_is_stopped_and_found_on_the_next_start(opened: Callable[..., Store]) -> None:
    first = opened()
    chat_id = first.chats.create_chat(ChatDraft())["id"]
    first.chats.add_message(chat_id, None, MessageDraft(role="assistant", content="half a walrus", state="streaming"))
    assert first.chats.list_chats("walrus") == []
    first.close()
    second = opened()
    assert second.chats.read_chat(chat_id)["messages"][0]["state"] == "stopped"
    assert [chat["id"] for chat in second.chats.list_chats("walrus")] == [chat_id]


def test_what_was_deleted_is_gone_from_the_disk_after_the_next_start(
    opened: Callable[..., Store], tmp_path: Path
) -> None:
    first = opened()
    chat_id = first.chats.create_chat(ChatDraft(title="Xylophonist"))["id"]
    last = first.chats.add_message(chat_id, None, MessageDraft(role="user", content="quetzalcoatlus"))
    first.chats.add_message(chat_id, last["id"], MessageDraft(role="assistant", content="archaeopteryx"))
    kept = first.chats.create_chat(ChatDraft(title="kept"))["id"]
    first.chats.delete_chat(chat_id)
    first.close()
    second = opened()
    with pytest.raises(MissingError):
        second.chats.restore_chat(chat_id)
    assert second.chats.list_chats("archaeopteryx") == []
    assert [chat["id"] for chat in second.chats.list_chats()] == [kept]
    second.close()
    everything = b"".join(path.read_bytes() for path in (tmp_path / "data" / "chats").iterdir()).lower()
    assert not [word for word in (b"xylophonist", b"quetzalcoatlus", b"archaeopteryx") if word in everything]


def test_threads_take_turns(opened: Callable[..., Store]) -> None:
    one = opened()
    chat_id = one.chats.create_chat(ChatDraft())["id"]
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                one.chats.add_message(chat_id, None, MessageDraft(role="user", content=f"{number} {step}"))
                one.chats.read_chat(chat_id)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    found = {message["content"] for message in one.chats.read_chat(chat_id)["messages"]}
    assert found == {f"{number} {step}" for number in range(8) for step in range(10)}


WRITER = """
import sys
from pathlib import Path
from runtime.history.records import ChatDraft, MessageDraft
from runtime.history.store import open_store
one = open_store(Path(sys.argv[1]), print)
for step in range(25):
    chat = one.chats.create_chat(ChatDraft(title=f"{sys.argv[2]} {step}"))
    one.chats.add_message(chat["id"], None, MessageDraft(role="user", content="x"))
one.close()
"""


def test_processes_take_turns(opened: Callable[..., Store], tmp_path: Path) -> None:
    """Three processes open, and one of them makes, the same file at the same time."""
    directory = tmp_path / "data" / "chats"
    command = [sys.executable, "-c", WRITER, str(directory)]
    running = [
        subprocess.Popen([*command, str(number)], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for number in range(3)
    ]
    printed = [process.communicate(timeout=60)[0] for process in running]
    assert printed == [b""] * 3
    one = opened()
    titles = {chat["title"] for chat in one.chats.list_chats()}
    assert titles == {f"{number} {step}" for number in range(3) for step in range(25)}
    with one.database.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_file_held_by_another_program_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    base = Database(path, busy_timeout_s=0.05)
    with base.writing() as connection:
        schema.migrate(connection, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="another program is writing"), base.writing():
            pass
        other.execute("ROLLBACK")
    with base.writing() as connection:
        connection.execute("REPLACE INTO facts VALUES ('a', 'b')")
    base.close()


def test_a_full_disk_is_a_clear_error_and_loses_nothing(opened: Callable[..., Store]) -> None:
    """``max_page_count`` makes SQLite meet the same error as a full file system."""
    one = opened()
    chat_id = one.chats.create_chat(ChatDraft(title="before"))["id"]
    with one.database.reading() as connection:
        connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StoreFullError, match="no space is left"):
        one.chats.add_message(chat_id, None, MessageDraft(role="user", content="x" * 100_000))
    assert one.chats.read_chat(chat_id)["messages"] == []
    with one.database.reading() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    one.chats.add_message(chat_id, None, MessageDraft(role="user", content="x" * 100_000))
    assert len(one.chats.read_chat(chat_id)["messages"]) == 1


def test_connections_are_given_back_and_closed(opened: Callable[..., Store]) -> None:
    one = opened()
    for _ in range(20):
        one.chats.list_chats()
    assert len(one.database._idle) == 1
    one.close()
    with pytest.raises(HistoryError, match="ending"):
        one.chats.list_chats()


def test_a_place_that_can_not_be_written_switches_the_history_off(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    history = kept_in("Test", blocked, {}, refuse_note)
    status = history.status()
    assert not status.enabled
    assert str(blocked) in status.why
    assert status.path is None
    with pytest.raises(HistoryOffError, match="Not a directory"):
        history.store()


def test_a_history_that_is_off_makes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert not History().status().enabled
    assert list(tmp_path.iterdir()) == []


def test_without_a_home_there_is_a_clear_word(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(HistoryOffError, match="--data-dir"):
        choose_directory("x", None, {})


def test_the_place_is_chosen_in_order(tmp_path: Path) -> None:
    environ = {"PACKER_DATA_DIR": "/from/environment"}
    assert choose_directory("Anna", Path("/wanted"), environ).parent == Path("/wanted")
    assert choose_directory("Anna", None, environ).parent == Path("/from/environment")
    assert choose_directory("Anna", None, {}).parent.name == "packer-chats"
    assert choose_directory("Anna", Path("x"), {}).is_absolute()


def test_each_assistant_has_a_directory_of_its_own() -> None:
    assert directory_name("Kitchen Helper") == directory_name(" kitchen helper")
    others = [
        "Kitchen Helper",
        "Kitchen-Helper",
        "Küche",
        "厨房",
        "../../etc",
        "",
        "a" * 300,
        "a" * 301,
        "\ud800",
        "CON",
    ]
    found = {directory_name(name) for name in others}
    assert len(found) == len(others)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(name) <= 60 for name in found)
    assert directory_name("Kitchen Helper").startswith("kitchen-helper-")
