"""The OpenAPI description is complete and true."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from packer.errors import InputError
from runtime.api import MAX_BODY_BYTES
from runtime.api.openapi import describe_api
from runtime.engine.engine import Engine
from tests.support.scripted_embedder import ScriptedEmbedder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
REQUESTS = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"prompt": "hi"},
    "/v1/embeddings": {"input": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {**CHAT, "max_tokens": 9},
    "/v1/messages/count_tokens": CHAT,
    "/tokenize": {"content": "hi"},
    "/detokenize": {"tokens": [105]},
    "/apply-template": CHAT,
    "/api/quit": {},
}
DESCRIPTION = describe_api("0.1.0")
SCHEMAS = DESCRIPTION["components"]["schemas"]
STREAMING = [
    path
    for path, item in DESCRIPTION["paths"].items()
    if "text/event-stream" in item.get("post", {}).get("responses", {}).get("200", {}).get("content", {})
]
UNLOADED = ("/api/quit",)


@pytest.fixture(autouse=True)
def embedder(runner: Any) -> None:
    runner.embedder = ScriptedEmbedder()


def check(value: Any, schema: dict[str, Any]) -> None:
    """Check ``value`` against a schema of the description."""
    jsonschema_rs.Draft202012Validator({**schema, "components": DESCRIPTION["components"]}).validate(value)


def schema_of(path: str, method: str, status: int, mimetype: str = "application/json") -> dict[str, Any]:
    """The schema of an answer; a status or type that is not described is an error."""
    return DESCRIPTION["paths"][path][method]["responses"][str(status)]["content"][mimetype]["schema"]


def events(body: str) -> Iterator[dict[str, Any]]:
    """The events of a stream as the description sees them: fields by name."""
    for block in body.removesuffix("\n\n").split("\n\n"):
        yield dict(line.split(": ", 1) for line in block.split("\n"))


def check_event(event: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Check an event, and the JSON in it, which is returned; ``None`` for the mark of the end."""
    check(event, schema)
    data = SCHEMAS[schema["$ref"].rpartition("/")[2]]["properties"]["data"]
    options = data.get("anyOf", [data])
    if {"const": event["data"]} in options:
        return None
    found = json.loads(event["data"])
    check(found, options[-1]["contentSchema"])
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_description_is_served(client: FlaskClient) -> None:
    assert client.get("/openapi.json").get_json() == json.loads(json.dumps(DESCRIPTION))
    assert DESCRIPTION["openapi"].startswith("3.1")


def test_every_route_is_described_and_nothing_else(client: FlaskClient) -> None:
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, item in DESCRIPTION["paths"].items() for method in item}
    assert described == routes


def test_references_lead_somewhere() -> None:
    found = set(references(DESCRIPTION))
    assert found == {f"#/components/schemas/{name}" for name in SCHEMAS}


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (path, method)
        for path, item in DESCRIPTION["paths"].items()
        for method in item
        if "chats" not in item[method].get("tags", [])
    ],
)
def test_answers_are_as_described(client: FlaskClient, path: str, method: str) -> None:
    answer = client.open(path.replace("{name}", "tiny"), method=method.upper(), json=REQUESTS.get(path))
    assert answer.status_code == 200
    schema = schema_of(path, method, 200, answer.mimetype)
    check(answer.get_json() if answer.mimetype == "application/json" else answer.text, schema)


@pytest.mark.parametrize("path", STREAMING)
def test_streams_are_as_described(client: FlaskClient, path: str) -> None:
    body = {**REQUESTS[path], "stream": True, "stream_options": {"include_usage": True}}
    body |= {} if path == "/v1/messages" else {"logprobs": 2 if path == "/v1/completions" else True, "top_logprobs": 2}
    answer = client.post(path, json=body)
    assert answer.status_code == 200
    schema = schema_of(path, "post", 200, answer.mimetype)
    found = [check_event(event, schema) for event in events(answer.text)]
    assert len(found) >= 4
    assert any("usage" in json.dumps(event) for event in found)


@pytest.mark.parametrize("path", STREAMING)
def test_a_stream_that_breaks_ends_as_described(client: FlaskClient, runner: Any, path: str) -> None:
    """The model gives two tokens, then fails."""
    runner.fails = lambda chunks: len(runner.steps) >= 3
    answer = client.post(path, json={**REQUESTS[path], "stream": True})
    schema = schema_of(path, "post", 200, answer.mimetype)
    found = [check_event(event, schema) for event in events(answer.text)]
    assert "no room is left" in json.dumps(found[-1])


def test_an_undescribed_field_is_found() -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        check({"status": "ok", "more": 1}, schema_of("/health", "get", 200))
    with pytest.raises(jsonschema_rs.ValidationError):
        check_event({"data": '{"id": 5}'}, schema_of("/v1/completions", "post", 200, "text/event-stream"))


WRONG: dict[int, dict[str, Any]] = {
    400: {"json": {"messages": 5, "prompt": 5, "input": 5, "content": 5, "tokens": 5}},
    403: {"json": {}, "headers": {"Origin": "http://elsewhere.example"}},
    413: {"data": b"{" + b" " * MAX_BODY_BYTES, "content_type": "application/json"},
    415: {"data": b"{}", "content_type": "text/plain"},
}


@pytest.mark.parametrize("status", WRONG)
@pytest.mark.parametrize("path", [path for path in REQUESTS if path != "/api/quit"])
def test_refusals_are_as_described(client: FlaskClient, path: str, status: int) -> None:
    answer = client.post(path, **WRONG[status])
    assert answer.status_code == status
    check(answer.get_json(), schema_of(path, "post", status))


@pytest.mark.parametrize("path", REQUESTS)
def test_a_refused_origin_is_described_everywhere(client: FlaskClient, path: str) -> None:
    answer = client.post(path, json=REQUESTS[path], headers={"Origin": "null"})
    assert answer.status_code == 403
    check(answer.get_json(), schema_of(path, "post", 403))


def test_an_unknown_model_is_answered_as_described(client: FlaskClient) -> None:
    answer = client.get("/v1/models/another/one")
    assert answer.status_code == 404
    check(answer.get_json(), schema_of("/v1/models/{name}", "get", 404))


@pytest.mark.parametrize("path", [path for path in REQUESTS if path not in UNLOADED])
def test_without_a_model_the_answers_are_as_described(make_client: Callable[[Engine], FlaskClient], path: str) -> None:
    def fail(_progress: object) -> Any:
        raise InputError("the model's file is damaged")

    engine = Engine(fail)
    engine.start()
    engine.wait_loaded(5)
    client = make_client(engine)
    answer = client.post(path, json=REQUESTS[path])
    assert answer.status_code == 503
    assert "damaged" in answer.text
    assert int(answer.headers["Retry-After"]) > 0
    check(answer.get_json(), schema_of(path, "post", 503))
    health = client.get("/health")
    assert health.status_code == 500
    check(health.get_json(), schema_of("/health", "get", 500))


def test_health_while_loading_is_as_described(make_client: Callable[[Engine], FlaskClient]) -> None:
    answer = make_client(Engine(lambda _progress: None)).get("/health")  # type: ignore[arg-type, return-value]
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    check(answer.get_json(), schema_of("/health", "get", 503))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (path, name)
        for path, item in DESCRIPTION["paths"].items()
        if "requestBody" in item.get("post", {}) and path in REQUESTS
        for name, schema in SCHEMAS[
            item["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        ]["properties"].items()
        if "maximum" in schema
    ],
)
def test_limits_are_as_described(client: FlaskClient, path: str, name: str) -> None:
    kind = DESCRIPTION["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = SCHEMAS[kind.rpartition("/")[2]]["properties"][name]
    for value in (schema["minimum"] - 1, schema["maximum"] + schema["maximum"] / 4 + 1, "x"):
        answer = client.post(path, json={**REQUESTS[path], name: int(value) if value != "x" else value})
        assert answer.status_code == 400, value
    if name not in {"n", "mirostat"}:
        lowest = schema["minimum"]
        assert client.post(path, json={**REQUESTS[path], name: lowest}).status_code == 200
        assert client.post(path, json={**REQUESTS[path], name: None}).status_code in (
            {400} if name == "max_tokens" and path == "/v1/messages" else {200}
        )


@pytest.mark.parametrize(
    ("name", "field", "part"),
    [
        ("ChatRequest", "messages", {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}),
        ("ResponseRequest", "input", {"type": "input_image", "image_url": "data:image/png;base64,QQ=="}),
        ("MessageRequest", "messages", {"type": "image", "source": {"type": "base64", "data": "QQ=="}}),
    ],
)
def test_pictures_are_described_for_users_alone(name: str, field: str, part: dict[str, Any]) -> None:
    check({field: [{"role": "user", "content": [part]}], "max_tokens": 9, "max_output_tokens": 9}, SCHEMAS[name])
    for role, content in (("assistant", [part]), ("user", [{"type": part["type"]}])):
        with pytest.raises(jsonschema_rs.ValidationError):
            check({field: [{"role": role, "content": content}], "max_tokens": 9}, SCHEMAS[name])
