"""``/api/chats``, ``/api/preferences`` and ``/api/presets`` as the page uses them."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from runtime.history.errors import StoreFullError
from runtime.history.history import History
from runtime.history.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from runtime.engine.engine import Engine

TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    kept = History(lambda: open_store(tmp_path, pytest.fail))
    yield kept
    kept.close()


@pytest.fixture
def client(engine: Engine, make_client: Callable[..., FlaskClient], history: History) -> FlaskClient:
    return make_client(engine, history=history)


def made(client: FlaskClient, **fields: Any) -> str:
    """Make a chat and return its id."""
    answer = client.post("/api/chats", json=fields)
    assert answer.status_code == 200, answer.get_data()
    return str(answer.get_json()["id"])


def said(
    client: FlaskClient, chat_id: str, parent_id: str | None, content: str, role: str = "user", **more: Any
) -> str:
    """Add a message and return its id."""
    body = {"parent_id": parent_id, "role": role, "content": content, **more}
    answer = client.post(f"/api/chats/{chat_id}/messages", json=body)
    assert answer.status_code == 200, answer.get_data()
    return str(answer.get_json()["id"])


def titles(client: FlaskClient, **query: str) -> list[str]:
    return [chat["title"] for chat in client.get("/api/chats", query_string=query).get_json()["chats"]]


def error_of(answer: TestResponse, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.get_data()
    error: dict[str, Any] = answer.get_json()["error"]
    return error


def test_a_chat_is_kept_whole(client: FlaskClient) -> None:
    settings = {"system_prompt": "Be brief.", "sampling": {"temperature": 0.5}}
    chat_id = made(client, title="Birds", folder="Nature", pinned=True, settings=settings)
    question = said(client, chat_id, None, "What flies?")
    details = {
        "reasoning": "hm",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        "state": "done",
        "finish_reason": "stop",
        "usage": {"total_tokens": 5},
        "timings": {"tokens_per_second": 9.5},
        "model": "tiny",
        "attachments": [
            {"name": "a.txt", "media_type": "text/plain", "size_bytes": 2, "text": "ab"},
            {"name": "b.png", "media_type": "image/png", "size_bytes": 3, "image_url": "data:image/png;base64,AAAA"},
        ],
    }
    reply = said(client, chat_id, question, "Birds do.", "assistant", **details)
    chat = client.get(f"/api/chats/{chat_id}").get_json()
    assert {name: chat[name] for name in ("title", "folder", "pinned", "settings", "num_messages")} == {
        "title": "Birds",
        "folder": "Nature",
        "pinned": True,
        "settings": settings,
        "num_messages": 2,
    }
    assert chat["current_message_id"] == reply
    assert TIME.fullmatch(chat["created_at"])
    assert TIME.fullmatch(chat["updated_at"])
    first, second = chat["messages"]
    assert (first["id"], first["parent_id"], first["content"], first["attachments"]) == (
        question,
        None,
        "What flies?",
        [],
    )
    assert (first["state"], first["reasoning"], first["tool_calls"], first["usage"]) == ("done", None, None, None)
    assert {name: second[name] for name in details} == details
    assert (second["parent_id"], second["role"]) == (question, "assistant")
    assert TIME.fullmatch(second["created_at"])


def test_branches_share_their_parent(client: FlaskClient) -> None:
    chat_id = made(client)
    question = said(client, chat_id, None, "one")
    first = said(client, chat_id, question, "first", "assistant")
    second = said(client, chat_id, question, "second", "assistant")
    chat = client.get(f"/api/chats/{chat_id}").get_json()
    assert [message["parent_id"] for message in chat["messages"]] == [None, question, question]
    assert chat["current_message_id"] == second
    back = client.patch(f"/api/chats/{chat_id}", json={"current_message_id": first}).get_json()
    assert back["current_message_id"] == first
    assert client.patch(f"/api/chats/{chat_id}", json={"current_message_id": None}).get_json()["num_messages"] == 3


def test_a_reply_grows_and_ends(client: FlaskClient) -> None:
    chat_id = made(client)
    message_id = said(client, chat_id, None, "", "assistant", state="streaming")
    address = f"/api/chats/{chat_id}/messages/{message_id}"
    for text in ("He", "Hello", "Hello zebra"):
        answer = client.patch(address, json={"content": text, "state": "streaming"}).get_json()
        assert (answer["content"], answer["state"]) == (text, "streaming")
    assert client.get("/api/chats?query=zebra").get_json()["chats"] == []
    end = {"state": "done", "finish_reason": "stop", "usage": {"total_tokens": 3}, "timings": {"x": 1}}
    answer = client.patch(address, json=end).get_json()
    assert answer["content"] == "Hello zebra"
    assert {name: answer[name] for name in end} == end
    assert len(client.get("/api/chats?query=zebra").get_json()["chats"]) == 1
    client.patch(address, json={"content": "Hello lion"})
    assert client.get("/api/chats?query=zebra").get_json()["chats"] == []
    assert len(client.get("/api/chats?query=lion").get_json()["chats"]) == 1


def test_the_list_shows_pinned_then_newest(client: FlaskClient) -> None:
    ids = {title: made(client, title=title) for title in ("old", "middle", "new")}
    assert titles(client) == ["new", "middle", "old"]
    time.sleep(0.002)
    said(client, ids["old"], None, "again")
    client.patch(f"/api/chats/{ids['middle']}", json={"pinned": True})
    assert titles(client) == ["middle", "old", "new"]
    renamed = client.patch(f"/api/chats/{ids['new']}", json={"title": "newest", "folder": "F"}).get_json()
    assert (renamed["title"], renamed["folder"]) == ("newest", "F")
    assert titles(client) == ["middle", "old", "newest"]


def test_deletion_can_be_undone(client: FlaskClient) -> None:
    chat_id = made(client, title="gone")
    said(client, chat_id, None, "still here")
    assert client.delete(f"/api/chats/{chat_id}").status_code == 200
    assert titles(client) == []
    assert titles(client, query="still") == []
    assert titles(client, deleted="true") == ["gone"]
    assert client.post(f"/api/chats/{chat_id}/restore").get_json()["title"] == "gone"
    assert titles(client, query="still") == ["gone"]
    assert titles(client, deleted="true") == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("garden", ["Flowers", "Travel"]),
        ("GARD", ["Flowers", "Travel"]),
        ("garden gnome", ["Flowers"]),
        ("flowers", ["Flowers"]),
        ("cafe", ["Travel"]),
        ("京都", ["Travel"]),
        ("都は", ["Travel"]),
        ("都京", []),
        ('"', []),
        ("gnome AND", []),
        ("NEAR(", []),
        ("  ", ["Travel", "Flowers"]),
        ("", ["Travel", "Flowers"]),
        ("x" * 5000, []),
    ],
)
def test_search(client: FlaskClient, query: str, found: list[str]) -> None:
    first, second = made(client, title="Flowers"), made(client, title="Travel")
    said(client, first, None, "A garden is lovely. " * 30 + "The garden gnome smiles.")
    said(client, second, None, "Un café près du Garden. 京都は美しい")
    assert sorted(titles(client, query=query)) == sorted(found)


def test_search_shows_where(client: FlaskClient) -> None:
    chat_id = made(client, title="Flowers")
    said(client, chat_id, None, "word " * 100 + "the\ngnome <b>smiles</b> " + "tail " * 100)
    made(client, title="gnome")
    found = client.get("/api/chats?query=gnome").get_json()["chats"]
    by_title = {chat["title"]: chat for chat in found}
    assert "the gnome <b>smiles</b> tail" in by_title["Flowers"]["snippet"]
    assert len(by_title["Flowers"]["snippet"]) < 200
    assert "snippet" not in by_title["gnome"]


def test_a_renamed_chat_is_found_by_its_new_title_only(client: FlaskClient) -> None:
    chat_id = made(client, title="apples")
    client.patch(f"/api/chats/{chat_id}", json={"title": "pears"})
    assert titles(client, query="apples") == []
    assert titles(client, query="pears") == ["pears"]


def test_odd_characters_are_kept(client: FlaskClient) -> None:
    chat_id = made(client, title="\u202e rtl \U0001f600 'quote\" -- ; DROP TABLE chats")
    text = "nul \0 tab \t \U0001f468\u200d\U0001f469 %s {} <script>"
    said(client, chat_id, None, text)
    broken = client.post(
        f"/api/chats/{chat_id}/messages",
        data='{"role": "user", "content": "half \\ud83d"}',
        content_type="application/json",
    )
    assert broken.get_json()["content"] == "half \ufffd"
    assert client.get(f"/api/chats/{chat_id}").get_json()["messages"][0]["content"] == text


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "role", "is missing"),
        ({"role": "king"}, "role", "expected one of system"),
        ({"role": 5}, "role", "expected a string"),
        ({"role": "user", "content": ["x"]}, "content", "expected a string, found a list"),
        ({"role": "user", "content": "x" * (4 << 20) + "x"}, "content", "expected at most 4,194,304 characters"),
        ({"role": "user", "state": "dreaming"}, "state", "expected one of streaming"),
        ({"role": "user", "usage": []}, "usage", "expected an object"),
        ({"role": "user", "usage": {"x": "y" * 70_000}}, "usage", "expected at most 65,536"),
        ({"role": "user", "tool_calls": {}}, "tool_calls", "expected a list"),
        ({"role": "user", "parent_id": 7}, "parent_id", "expected a string"),
        ({"role": "user", "attachments": [5]}, "attachments[0]", "expected an object"),
        ({"role": "user", "attachments": [{}] * 33}, "attachments", "expected at most 32, found 33"),
        ({"role": "user", "attachments": [{"size_bytes": -1}]}, "attachments[0].size_bytes", "from 0 on"),
        (
            {"role": "user", "attachments": [{"image_url": "https://example.org/x.png"}]},
            "attachments[0].image_url",
            "data:image/",
        ),
    ],
)
def test_a_wrong_message_is_refused(client: FlaskClient, body: dict[str, Any], param: str, words: str) -> None:
    chat_id = made(client)
    error = error_of(client.post(f"/api/chats/{chat_id}/messages", json=body), 400)
    assert error["param"] == param
    assert words in error["message"]
    assert client.get(f"/api/chats/{chat_id}").get_json()["messages"] == []


def test_values_that_are_too_deep_are_refused(client: FlaskClient) -> None:
    deep = "[" * 900 + "]" * 900
    body = f'{{"settings": {{"x": {deep}}}}}'
    error = error_of(client.post("/api/chats", data=body, content_type="application/json"), 400)
    assert "at most 16 levels" in error["message"]


@pytest.mark.parametrize(
    ("body", "param"), [({"title": "x" * 501}, "title"), ({"pinned": 1}, "pinned"), ({"settings": 1}, "settings")]
)
def test_a_wrong_chat_is_refused(client: FlaskClient, body: dict[str, Any], param: str) -> None:
    chat_id = made(client, title="kept")
    for answer in (client.post("/api/chats", json=body), client.patch(f"/api/chats/{chat_id}", json=body)):
        assert error_of(answer, 400)["param"] == param
    assert titles(client) == ["kept"]


def test_what_is_not_there_is_404(client: FlaskClient) -> None:
    chat_id, other = made(client), made(client)
    foreign = said(client, other, None, "elsewhere")
    answers = [
        client.get("/api/chats/nope"),
        client.patch("/api/chats/nope", json={"title": "x"}),
        client.delete("/api/chats/nope"),
        client.post("/api/chats/nope/restore"),
        client.post("/api/chats/nope/messages", json={"role": "user"}),
        client.patch(f"/api/chats/{chat_id}/messages/{foreign}", json={"content": "x"}),
        client.post(f"/api/chats/{chat_id}/messages", json={"role": "user", "parent_id": foreign}),
        client.patch(f"/api/chats/{chat_id}", json={"current_message_id": foreign}),
        client.put("/api/presets/nope", json={"name": "x"}),
        client.delete("/api/presets/nope"),
    ]
    assert [error_of(answer, 404)["code"] for answer in answers] == ["not_found"] * len(answers)
    assert "deleted" in error_of(client.get("/api/chats?deleted=maybe"), 400)["message"]


def test_other_pages_are_kept_out(client: FlaskClient) -> None:
    assert client.get("/api/chats", headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.post("/api/chats", json={}, headers={"Host": "evil.example"}).status_code == 403
    assert client.post("/api/chats", data="{}", content_type="text/plain").status_code == 415


def test_preferences(client: FlaskClient) -> None:
    assert client.get("/api/preferences").get_json() == {}
    wanted = {"theme": "dark", "font_size": 18, "nested": {"a": [1, None, "ü"]}}
    assert client.put("/api/preferences", json=wanted).get_json() == wanted
    assert client.get("/api/preferences").get_json() == wanted
    error = error_of(client.put("/api/preferences", json={"x": "y" * (64 << 10)}), 400)
    assert "at most 65,536 characters" in error["message"]
    assert client.get("/api/preferences").get_json() == wanted


def test_presets(client: FlaskClient) -> None:
    preset = {"name": "poet", "system_prompt": "Rhyme.", "sampling": {"temperature": 1.2}}
    made_preset = client.post("/api/presets", json=preset).get_json()
    client.post("/api/presets", json={"name": "Accountant"})
    listed = client.get("/api/presets").get_json()["presets"]
    assert [entry["name"] for entry in listed] == ["Accountant", "poet"]
    assert {name: listed[1][name] for name in preset} == preset
    changed = client.put(f"/api/presets/{made_preset['id']}", json={**preset, "name": "bard"}).get_json()
    assert (changed["id"], changed["name"], changed["created_at"]) == (
        made_preset["id"],
        "bard",
        made_preset["created_at"],
    )
    assert client.delete(f"/api/presets/{made_preset['id']}").status_code == 200
    assert len(client.get("/api/presets").get_json()["presets"]) == 1
    assert error_of(client.post("/api/presets", json={"name": "  "}), 400)["param"] == "name"
    assert error_of(client.post("/api/presets", json={"name": "x", "sampling": 5}), 400)["param"] == "sampling"


def test_info_tells_where_chats_are(client: FlaskClient, tmp_path: Path) -> None:
    assert client.get("/api/info").get_json()["history"] == {
        "enabled": True,
        "why": "this machine only",
        "path": str(tmp_path / "chats.db"),
    }


def test_with_history_off_nothing_is_kept(engine: Engine, make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(engine)
    assert client.get("/api/info").get_json()["history"]["enabled"] is False
    answers = [
        client.get("/api/chats"),
        client.post("/api/chats", json={"title": "x"}),
        client.get("/api/chats/x"),
        client.patch("/api/chats/x", json={}),
        client.delete("/api/chats/x"),
        client.post("/api/chats/x/restore"),
        client.post("/api/chats/x/messages", json={"role": "user"}),
        client.patch("/api/chats/x/messages/y", json={}),
        client.get("/api/preferences"),
        client.put("/api/preferences", json={}),
        client.get("/api/presets"),
        client.post("/api/presets", json={"name": "x"}),
    ]
    errors = [error_of(answer, 403) for answer in answers]
    assert {error["code"] for error in errors} == {"history_off"}
    assert "switched off with --no-history" in errors[0]["message"]


def test_a_full_disk_is_answered(client: FlaskClient, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise StoreFullError("/place/chats.db: no space is left on the disk")

    monkeypatch.setattr(history.store().chats, "create_chat", refuse)
    error = error_of(client.post("/api/chats", json={}), 507)
    assert (error["code"], error["type"]) == ("history_full", "server_error")


def test_texts_are_never_logged(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    chat_id = made(client, title="secret-title")
    said(client, chat_id, None, "secret-text")
    client.post(f"/api/chats/{chat_id}/messages", json={"role": "secret-role", "content": "secret-text"})
    client.get("/api/chats?query=secret-query")
    assert "secret" not in caplog.text
