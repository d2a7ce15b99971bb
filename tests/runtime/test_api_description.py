"""The OpenAPI description is complete and true."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from runtime.api.openapi import describe_api
from tests.support.encoder import ByteEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
REQUESTS = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {**CHAT, "max_tokens": 9},
    "/v1/messages/count_tokens": CHAT,
    "/tokenize": {"content": "hi"},
    "/detokenize": {"tokens": [105]},
    "/apply-template": CHAT,
    "/api/quit": {},
}
TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}
DESCRIPTION = describe_api("0.1.0")
SCHEMAS = DESCRIPTION["components"]["schemas"]


@pytest.fixture
def encoder() -> ByteEncoder:
    return ByteEncoder()


def check(value: Any, schema: dict[str, Any], where: str = "$") -> None:
    """Check ``value`` against the keywords that descriptions of answers use."""
    if "$ref" in schema:
        check(value, SCHEMAS[schema["$ref"].rpartition("/")[2]], where)
        return
    if "anyOf" in schema:
        failures = []
        for option in schema["anyOf"]:
            try:
                check(value, option, where)
                return
            except AssertionError as error:
                failures.append(error)
        raise AssertionError(failures)
    if "const" in schema:
        assert value == schema["const"], where
    if "enum" in schema:
        assert value in schema["enum"], where
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert any(isinstance(value, TYPES[kind]) for kind in kinds), (where, value, kinds)
    if isinstance(value, dict):
        assert set(schema.get("required", [])) <= value.keys(), where
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                check(value[name], inner, f"{where}.{name}")
    if isinstance(value, list):
        for entry in value:
            check(entry, schema.get("items", {}), f"{where}[]")


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
    content = DESCRIPTION["paths"][path][method]["responses"]["200"]["content"]
    assert answer.mimetype in content
    if answer.mimetype == "application/json":
        check(answer.get_json(), content["application/json"]["schema"])


@pytest.mark.parametrize("path", [path for path in REQUESTS if path != "/api/quit"])
def test_errors_are_as_described(client: FlaskClient, path: str) -> None:
    answer = client.post(path, json={"messages": 5, "prompt": 5, "input": 5, "content": 5, "tokens": 5})
    assert answer.status_code == 400
    schema = DESCRIPTION["paths"][path]["post"]["responses"]["default"]["content"]["application/json"]["schema"]
    check(answer.get_json(), schema)


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
