"""Chats as files: what is exported comes back the same, and what comes from elsewhere is not trusted."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.history.errors import InvalidError
from runtime.history.exports import file_stem, to_json, to_zip
from runtime.history.history import History
from runtime.history.imports import read_chats
from runtime.history.markdown import from_markdown, to_markdown
from runtime.history.records import ROLES
from runtime.history.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient

    from runtime.engine.engine import Engine
    from runtime.history.chats import ChatStore
    from runtime.history.records import WholeChat

TRAPS = (
    "",
    "\n",
    "\n\nx\n\n",
    "# heading",
    "<!-- packer-message {} -->",
    "\\<!-- packer-chat {} -->\n\\\\<!-- packer-x",
    "a\r\nb\rc\u2028d\x85e\x0cf",
    "```\n## User\n```",
    "-->",
    "\0",
)
texts = st.one_of(st.sampled_from(TRAPS), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
attachments = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"name": texts, "media_type": st.just("text/plain"), "size_bytes": st.just(3), "text": texts}
        ),
        st.just(
            {"name": "a[]().png", "media_type": "image/png", "size_bytes": 1, "image_url": "data:image/png;base64,AA"}
        ),
        st.just({"name": "gone", "media_type": "application/pdf", "size_bytes": 9}),
    ),
    max_size=2,
)
objects = st.dictionaries(texts, st.one_of(st.none(), st.integers(-9, 9), texts), max_size=2)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(ROLES),
        "content": texts,
        "reasoning": st.one_of(st.none(), texts.filter(bool)),
        "tool_calls": st.one_of(st.none(), st.lists(objects, min_size=1, max_size=2)),
        "tool_call_id": st.one_of(st.none(), texts),
        "attachments": attachments,
        "state": st.sampled_from(["done", "stopped", "failed"]),
        "finish_reason": st.one_of(st.none(), st.just("stop")),
        "usage": st.one_of(st.none(), objects),
        "timings": st.one_of(st.none(), objects),
        "model": st.one_of(st.none(), texts),
        "created_at": st.just("2026-02-03T04:05:06.789Z"),
    }
)


@st.composite
def chats(draw: st.DrawFn) -> dict[str, Any]:
    """A whole chat as the store reads it, with branches."""
    found = draw(st.lists(messages, max_size=5))
    for index, message in enumerate(found):
        parent = draw(st.one_of(st.none(), st.integers(0, index - 1))) if index else None
        message |= {"id": f"m{index}", "parent_id": None if parent is None else f"m{parent}"}
    return {
        "id": "c",
        "title": draw(texts),
        "folder": draw(texts),
        "pinned": draw(st.booleans()),
        "settings": draw(objects),
        "created_at": "2026-01-31T23:59:59.123Z",
        "updated_at": "2026-02-03T04:05:06.789Z",
        "current_message_id": f"m{draw(st.integers(0, len(found) - 1))}" if found else None,
        "messages": found,
        "num_messages": len(found),
    }


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    kept = History(lambda: open_store(tmp_path_factory.mktemp("chats"), pytest.fail))
    yield kept
    kept.close()


@pytest.fixture(scope="module")
def store(history: History) -> ChatStore:
    return history.store().chats


@pytest.fixture
def client(engine: Engine, make_client: Callable[..., FlaskClient], history: History) -> FlaskClient:
    return make_client(engine, history=history)


def linked_by_position(chat: dict[str, Any]) -> dict[str, Any]:
    """The same chat with positions in the place of ids, which no two stores share."""
    position = {message["id"]: index for index, message in enumerate(chat["messages"])}
    return {
        **{name: value for name, value in chat.items() if name not in {"id", "messages"}},
        "current_message_id": position.get(chat["current_message_id"]),
        "messages": [
            {**message, "id": index, "parent_id": position.get(message["parent_id"])}
            for index, message in enumerate(chat["messages"])
        ],
    }


def kept(store: ChatStore, imported: list[WholeChat]) -> dict[str, Any]:
    (summary,) = store.import_chats(imported)
    return store.read_chat(summary["id"])


@settings(max_examples=40, deadline=None)
@given(chat=chats())
def test_json_brings_everything_back(store: ChatStore, chat: dict[str, Any]) -> None:
    document = to_json([chat], 0)
    assert linked_by_position(kept(store, read_chats(document))) == linked_by_position(chat)


@settings(max_examples=40, deadline=None)
@given(chat=chats())
def test_markdown_brings_the_branch_back(store: ChatStore, chat: dict[str, Any]) -> None:
    branch, at = [], chat["current_message_id"]
    while at is not None:
        branch.append(next(message for message in chat["messages"] if message["id"] == at))
        at = branch[-1]["parent_id"]
    expected = {**chat, "messages": branch[::-1], "num_messages": len(branch)}
    text = to_markdown(chat)
    comments = [line for line in text.split("\n") if line.startswith("<!-- packer-")]
    assert not [line for line in comments if line.index("-->") != len(line) - 3], "a viewer would show the rest"
    found = kept(store, [from_markdown(text)])
    assert linked_by_position(found) == linked_by_position(expected)


@settings(max_examples=20, deadline=None)
@given(found=st.lists(chats(), min_size=1, max_size=3))
def test_an_archive_has_a_file_for_each(found: list[dict[str, Any]]) -> None:
    content = to_zip(found)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    assert len(set(names)) == len(found)
    assert not [name for name in names if set(name) & set('/\\:*?"<>|\n') or len(name) > 70]
    assert [chat.chat.title for chat in read_chats(content)] == [chat["title"] for chat in found]


def test_markdown_is_readable() -> None:
    chat = {
        "title": "Birds",
        "folder": "",
        "pinned": False,
        "created_at": "2026-01-31T23:59:59.123Z",
        "updated_at": "2026-01-31T23:59:59.123Z",
        "settings": {},
        "current_message_id": "b",
        "messages": [
            {"id": i, "parent_id": p, "role": r, "content": c, "reasoning": None, "tool_calls": None, "attachments": [],
             "created_at": "2026-01-31T23:59:59.123Z", "state": "done", "finish_reason": None, "model": None,
             "tool_call_id": None, "usage": None, "timings": None}
            for i, p, r, c in (("a", None, "user", "What flies?"), ("b", "a", "assistant", "**Birds** do."))
        ],
    }  # fmt: skip
    lines = [line for line in to_markdown(chat).splitlines() if line and not line.startswith("<!--")]
    assert lines == ["# Birds", "## User", "What flies?", "## Assistant", "**Birds** do."]


def test_names_of_files() -> None:
    assert file_stem({"title": "../../etc/passwd\n: CON?", "messages": []}) == "etc passwd CON"
    assert file_stem({"title": "", "messages": []}) == "Untitled"
    assert file_stem({"title": "", "messages": [{"role": "user", "content": "\nWhy, 京都?"}]}) == "Why 京都"
    assert file_stem({"title": "?!", "messages": []}) == "chat"
    assert len(file_stem({"title": "x" * 400, "messages": []})) == 60


def test_an_edited_file_with_the_line_ends_of_windows_is_taken(store: ChatStore) -> None:
    text = to_markdown({**json.loads(to_json([], 0)), **BARE, "messages": [MESSAGE], "current_message_id": "a"})
    found = kept(store, [from_markdown(text.replace("\n", "\r\n"))])
    assert found["messages"][0]["content"] == "two\nlines"


BARE = {
    "title": "t", "folder": "", "pinned": False, "settings": {}, "created_at": "2026-01-31T23:59:59.123Z",
    "updated_at": "2026-01-31T23:59:59.123Z",
}  # fmt: skip
MESSAGE = {
    "id": "a", "parent_id": None, "role": "user", "content": "two\nlines", "reasoning": None, "tool_calls": None,
    "attachments": [], "created_at": "2026-01-31T23:59:59.123Z", "state": "done", "finish_reason": None, "model": None,
    "tool_call_id": None, "usage": None, "timings": None,
}  # fmt: skip


def shell(*messages: Any, **more: Any) -> bytes:
    """One chat in our own document."""
    return json.dumps({"format": "packer-chats", "version": 1, "chats": [{"messages": messages, **more}]}).encode()


def link(message_id: str, parent_id: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": message_id, "parent_id": parent_id, "role": "user", "content": message_id, **more}


def packed(name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def with_wrong_size(content: bytes) -> bytes:
    """The archive with sizes of 4 GB in its directory."""
    start = content.rindex(b"PK\x01\x02")
    return content[: start + 24] + b"\xf0\xff\xff\xff" + content[start + 28 :]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no chat that was exported here"),
        (b"# Just some text", "no chat that was exported here"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"format": NaN}', "NaN is no JSON number"),
        (b'{"x": 1}', "format: expected 'packer-chats'"),
        (b'{"format": "packer-chats", "version": 2}', "version: expected 1, found 2"),
        (b'{"format": "packer-chats", "version": 1, "chats": 5}', "chats: expected a list"),
        (b'{"format": "packer-chats", "version": 1, "chats": [5]}', "chats[0]: expected an object"),
        (shell(5), "chats[0].messages[0]: expected an object"),
        (shell(link("a"), link("a")), "chats[0].messages[1].id: 'a' is used twice"),
        (shell(link("a", "z")), "chats[0].messages[0].parent_id: there is no message 'z'"),
        (shell(link("a", "a")), "circle"),
        (shell(link("a"), link("b", "d"), link("c", "b"), link("d", "c")), "chats[0].messages: message"),
        (shell(link("a", role="king")), "chats[0].messages[0].role: expected one of"),
        (shell(link("a", content="x" * (4 << 20) + "x")), "expected at most 4,194,304 characters"),
        (shell(link("a", usage={"n": 10**400})), None),
        (shell(link("a"), {"role": "user", "content": "no id"}), "chats[0].messages[1].id: is missing"),
        (shell(link("a"), current_message_id="b"), "current_message_id: there is no message 'b'"),
        (shell(link("a", created_at="yesterday")), "created_at: expected a time"),
        (shell(link("a", created_at=1e300)), None),
        (shell(link("a", attachments=[{"image_url": "file:///etc/passwd"}])), "image_url: expected an image"),
        (b"[5]", "[0]: expected a message or a conversation"),
        (b"<!-- packer-chat {} -->\n# x", "line 1.version: expected 1"),
        (b'<!-- packer-chat {"version": 1} -->\n# x\n\n<!-- packer-content {} -->\n\nx\n', "line 4: a part"),
        (b"<!-- packer-chat {nonsense} -->\n", "line 1: the comment holds no valid JSON"),
        (packed("x.txt", b"x"), "no .md or .json file"),
        (packed("x.json", b"{}")[:-30], "ZIP archive can't be read"),
        (packed("x.json", packed("y.json", b"[]")), "no chat that was exported here"),
        (packed("x.json", b" " * 1000, zipfile.ZIP_LZMA), "packed in a way"),
        (with_wrong_size(packed("x.json", b" " * 1000)), "unpacks to more than 128 MiB"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(content: bytes, words: str | None) -> None:
    if words is None:
        assert len(read_chats(content)) == 1
        return
    with pytest.raises(InvalidError) as caught:
        read_chats(content)
    assert words in str(caught.value)


@settings(deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for start in (b"", b"PK\x03\x04", b'{"format":"packer-chats","version":1,"chats":', b"<!-- packer-chat {"):
        try:
            read_chats(start + content)
        except InvalidError as error:
            assert str(error)


def test_messages_may_come_in_any_order(store: ChatStore) -> None:
    content = shell(link("c", "b"), link("b", "a"), link("d", "a"), link("a"))
    found = kept(store, read_chats(content))
    by_content = {message["content"]: message for message in found["messages"]}
    parents = {name: message["parent_id"] for name, message in by_content.items()}
    ids = {name: message["id"] for name, message in by_content.items()}
    assert parents == {"a": None, "b": ids["a"], "c": ids["b"], "d": ids["a"]}


def test_a_very_long_chat_needs_no_recursion(store: ChatStore) -> None:
    links = [link(str(number), str(number - 1) if number else None) for number in range(3000)]
    assert kept(store, read_chats(shell(*reversed(links))))["num_messages"] == 3000


def test_a_plain_list_of_messages_is_a_chat(store: ChatStore) -> None:
    plain = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    for content in (plain, {"messages": plain}):
        found = kept(store, read_chats(json.dumps(content).encode("utf-8-sig")))
        assert [(message["role"], message["content"]) for message in found["messages"]] == [
            ("user", "hi"),
            ("assistant", "hello"),
        ]
        assert found["messages"][1]["parent_id"] == found["messages"][0]["id"]
        assert found["current_message_id"] == found["messages"][1]["id"]


def node(parent: str | None, role: str | None = None, *parts: Any, time: float | None = None) -> dict[str, Any]:
    """A node of a ChatGPT export."""
    message = None
    if role is not None:
        content = {"content_type": "text", "parts": list(parts)}
        message = {"author": {"role": role}, "content": content, "create_time": time}
    return {"parent": parent, "message": message, "children": []}


def test_a_chatgpt_export_is_read(store: ChatStore) -> None:
    mapping = {
        "r": node(None),
        "s": node("r", "system", ""),
        "u": node("s", "user", "What flies?", time=1700000000.25),
        "a1": node("u", "assistant", "Birds.", {"content_type": "image_asset_pointer"}),
        "a2": node("u", "assistant", "Planes."),
        "x": node("a2", "assistant"),
    }
    content = [{"title": "Flying", "create_time": 1700000000, "mapping": mapping, "current_node": "a1"}]
    found = kept(store, read_chats(json.dumps(content).encode()))
    assert found["title"] == "Flying"
    assert found["created_at"] == "2023-11-14T22:13:20.000Z"
    first, birds, planes = found["messages"]
    assert [message["content"] for message in found["messages"]] == ["What flies?", "Birds.", "Planes."]
    assert first["created_at"] == "2023-11-14T22:13:20.250Z"
    assert (first["parent_id"], birds["parent_id"], planes["parent_id"]) == (None, first["id"], first["id"])
    assert found["current_message_id"] == birds["id"]


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"a": node("b", "user", "x"), "b": node("a", "user", "y")}, "circle"),
        ({"a": 5}, "[0].mapping['a']: expected an object"),
        ({"a": {"message": 5}}, "mapping['a'].message: expected an object"),
    ],
)
def test_a_broken_chatgpt_export_is_refused(mapping: Any, words: str) -> None:
    with pytest.raises(InvalidError) as caught:
        read_chats(json.dumps([{"mapping": mapping}]).encode())
    assert words in str(caught.value)


def test_files_over_http(client: FlaskClient) -> None:
    chat_id = client.post("/api/chats", json={"title": "Köche & 京都"}).get_json()["id"]
    client.post(f"/api/chats/{chat_id}/messages", json={"role": "user", "content": "needle"})
    for address, suffix, start in (
        (f"/api/chats/{chat_id}/export", ".json", b"{"),
        (f"/api/chats/{chat_id}/export?format=markdown", ".md", b"<!-- packer-chat"),
        ("/api/chats/export?format=json", ".json", b"{"),
        ("/api/chats/export?format=markdown", ".zip", b"PK"),
    ):
        answer = client.get(address)
        assert answer.status_code == 200
        assert answer.headers["Content-Disposition"].startswith("attachment; filename")
        assert suffix in answer.headers["Content-Disposition"]
        assert answer.data.startswith(start)
        before = len(client.get("/api/chats").get_json()["chats"])
        done = client.post("/api/chats/import", data=answer.data, content_type="application/octet-stream").get_json()
        assert done["imported"] == len(done["chats"]) >= 1
        assert len(client.get("/api/chats").get_json()["chats"]) == before + done["imported"]
    assert client.get("/api/chats/export?format=docx").status_code == 400
    assert client.get("/api/chats/nope/export").status_code == 404


def test_a_file_with_one_bad_chat_leaves_nothing(client: FlaskClient) -> None:
    before = client.get("/api/chats").get_json()
    document = json.loads(shell(link("a")))
    document["chats"].append({"messages": [{"role": "king"}]})
    answer = client.post("/api/chats/import", json=document)
    assert answer.status_code == 400
    assert answer.get_json()["error"]["param"] == "chats[1].messages[0].role"
    assert client.get("/api/chats").get_json() == before


def test_a_file_larger_than_other_requests_is_taken(client: FlaskClient) -> None:
    content = shell(*(link(str(number), content="x" * (3 << 20)) for number in range(7)))
    assert len(content) > 20 << 20
    assert client.post("/api/chats/import", data=content).get_json()["imported"] == 1
    answer = client.post("/api/chats/import", environ_overrides={"CONTENT_LENGTH": str(200 << 20)})
    assert answer.status_code == 413
    assert "128 MiB" in answer.get_json()["error"]["message"]
