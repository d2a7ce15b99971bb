"""The OpenAPI description of kept chats is complete and true; tests/runtime/test_api_description.py has the rest."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from runtime.api.openapi_chats import TAG
from runtime.history.history import History
from runtime.history.store import open_store
from tests.runtime.test_api_description import DESCRIPTION, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

    from runtime.engine.engine import Engine

MESSAGE = {"role": "user", "content": "hi", "attachments": [{"name": "a", "text": "b"}], "usage": {"total_tokens": 1}}
BODIES: dict[tuple[str, str], Any] = {
    ("/api/chats", "post"): {"title": "x", "settings": {"system_prompt": "y"}},
    ("/api/chats/{chat_id}", "patch"): {"title": "y", "pinned": True},
    ("/api/chats/{chat_id}/messages", "post"): MESSAGE,
    ("/api/chats/{chat_id}/messages/{message_id}", "patch"): {"content": "hello", "state": "stopped"},
    ("/api/chats/import", "post"): {"format": "packer-chats", "version": 1, "chats": [{"messages": [MESSAGE]}]},
    ("/api/preferences", "put"): {"theme": "dark"},
    ("/api/presets", "post"): {"name": "x"},
    ("/api/presets/{preset_id}", "put"): {"name": "y"},
}
FORMS = ("/api/attachments",)
OPERATIONS = [
    (path, method)
    for path, item in DESCRIPTION["paths"].items()
    for method, operation in item.items()
    if TAG in operation.get("tags", [])
]


@pytest.fixture
def client(
    engine: Engine, make_client: Callable[..., FlaskClient], tmp_path: Path
) -> Iterator[tuple[FlaskClient, dict[str, str]]]:
    """A client, and the names of a chat, a message and a preset that are there."""
    kept = History(lambda: open_store(tmp_path, pytest.fail))
    client = make_client(engine, history=kept)
    chat_id = client.post("/api/chats", json={}).get_json()["id"]
    message = client.post(f"/api/chats/{chat_id}/messages", json=MESSAGE).get_json()
    preset = client.post("/api/presets", json={"name": "p"}).get_json()
    yield client, {"chat_id": chat_id, "message_id": message["id"], "preset_id": preset["id"]}
    kept.close()


def test_there_are_operations() -> None:
    assert {path for path, _method in OPERATIONS} >= {path for path, _method in BODIES}
    bodies = {(path, method) for path, method in OPERATIONS if "requestBody" in DESCRIPTION["paths"][path][method]}
    assert bodies == {*BODIES, *((path, "post") for path in FORMS)}


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_answers_are_as_described(client: tuple[FlaskClient, dict[str, str]], path: str, method: str) -> None:
    body = {"data": {"file": (io.BytesIO(b"x"), "a.txt")}} if path in FORMS else {"json": BODIES.get((path, method))}
    answer = client[0].open(path.format(**client[1]), method=method.upper(), **body)
    assert answer.status_code == 200, answer.get_data()
    content = DESCRIPTION["paths"][path][method]["responses"]["200"]["content"]
    assert answer.mimetype in content
    if answer.mimetype == "application/json":
        check(answer.get_json(), content["application/json"]["schema"])


@pytest.mark.parametrize(("path", "method"), list(BODIES))
def test_errors_are_as_described(client: tuple[FlaskClient, dict[str, str]], path: str, method: str) -> None:
    answer = client[0].open(path.format(**client[1]), method=method.upper(), json=[5])
    assert answer.status_code == 400
    schema = DESCRIPTION["paths"][path][method]["responses"]["400"]["content"]["application/json"]["schema"]
    check(answer.get_json(), schema)
