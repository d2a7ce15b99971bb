"""OpenAI's responses and Anthropic's messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.encoder import ByteEncoder
from tests.support.recording import record_requests

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from runtime.engine.engine import Engine

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}


@pytest.fixture
def encoder() -> ByteEncoder:
    return ByteEncoder()


def events(answer: TestResponse) -> list[dict[str, Any]]:
    """Parse named server-sent events; each name is the event's type."""
    assert answer.status_code == 200
    found = []
    for block in answer.get_data(as_text=True).split("\n\n")[:-1]:
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def respond(client: FlaskClient, **fields: Any) -> TestResponse:
    return client.post("/v1/responses", json={"input": "hi", **fields})


def message(client: FlaskClient, **fields: Any) -> TestResponse:
    return client.post("/v1/messages", json={"messages": HI, "max_tokens": 50, **fields})


def test_a_response(client: FlaskClient) -> None:
    body = respond(client, metadata={"a": "b"}).get_json()
    assert body["object"] == "response"
    assert body["status"] == "completed"
    assert body["output"][0]["content"][0] == {
        "type": "output_text",
        "text": "hello",
        "annotations": [],
        "logprobs": [],
    }
    assert body["usage"]["input_tokens"] == 2
    assert body["usage"]["output_tokens"] == 5
    assert body["metadata"] == {"a": "b"}


def test_a_response_cut_short(client: FlaskClient) -> None:
    body = respond(client, max_output_tokens=2).get_json()
    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}


def test_input_and_instructions(client: FlaskClient, encoder: ByteEncoder) -> None:
    turns = [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        {"role": "user", "content": "c"},
    ]
    assert respond(client, input=turns, instructions="be brief").status_code == 200
    assert [(m["role"], m["content"]) for m in encoder.seen[0]] == [
        ("system", "be brief"),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ]


def test_a_streamed_response(client: FlaskClient) -> None:
    found = events(respond(client, stream=True))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    kinds = [event["type"] for event in found]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta") == "hello"
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert found[-1]["response"]["usage"]["output_tokens"] == 5
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "hello"


def test_a_response_in_a_format(client: FlaskClient, engine: Engine) -> None:
    requests = record_requests(engine)
    output = {"type": "json_schema", "name": "x", "schema": {"required": ["a"]}}
    assert respond(client, text={"format": output}, temperature=0.5).status_code == 200
    assert requests[0].sampling.grammar
    assert requests[0].sampling.temperature == 0.5


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type"),
        ({"input": [{"type": "function_call"}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call", "arguments": ""}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "file_search"}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice.name"),
        ({"tools": [TOOL], "text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"input": [{"role": ["user"], "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        ({"input": "x" * 64}, "input"),
        ({"instructions": 5}, "instructions"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"include": "message.output_text.logprobs"}, "include"),
        ({"include": ["message.output_text.logprob"]}, "include"),
        ({"include": [{}]}, "include"),
        ({"metadata": 5}, "metadata"),
        ({"text": {"format": 5}}, "text.format"),
        ({"text": {"format": {"type": "yaml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "schema": {"not": {}}}}}, "text.format.schema"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": "x"}, "temperature"),
        ({"stream": 1}, "stream"),
    ],
)
def test_wrong_response_requests(client: FlaskClient, fields: dict[str, Any], param: str) -> None:
    answer = respond(client, **fields)
    assert answer.status_code == 400
    assert answer.get_json()["error"]["param"] == param


def test_a_message(client: FlaskClient) -> None:
    body = message(client).get_json()
    assert body["type"] == "message"
    assert body["content"] == [{"type": "text", "text": "hello"}]
    assert body["stop_reason"] == "end_turn"
    assert body["usage"]["input_tokens"] + body["usage"]["cache_read_input_tokens"] == 2
    assert body["usage"]["output_tokens"] == 5


def test_message_options(client: FlaskClient, engine: Engine, encoder: ByteEncoder) -> None:
    requests = record_requests(engine)
    body = message(client, max_tokens=3, system=[{"type": "text", "text": "s"}], stop_sequences=["lo"], top_k=3)
    assert body.get_json()["content"][0]["text"] == "hel"
    assert body.get_json()["stop_reason"] == "max_tokens"
    assert requests[0].stop == ("lo",)
    assert requests[0].sampling.top_k == 3
    assert encoder.seen[0][0] == {"role": "system", "content": "s"}


def test_half_a_character_is_replaced(client: FlaskClient, encoder: ByteEncoder) -> None:
    """JavaScript's strings can end in the middle of a surrogate pair, and its JSON says so."""
    answer = client.post(
        "/v1/responses",
        data=rb'{"input": "a\ud83d", "instructions": "\uD83D\uDE00", "metadata": {"\ude00": 1}, "stream": true}',
        content_type="application/json",
    )
    created = events(answer)[0]["response"]
    assert created["instructions"] == "\U0001f600"
    assert created["metadata"] == {"\ufffd": 1}
    assert encoder.seen[0][1]["content"] == "a\ufffd"


def test_a_stop_sequence_is_named(client: FlaskClient) -> None:
    body = message(client, stop_sequences=["x", "lo"]).get_json()
    assert body["content"][0]["text"] == "hel"
    assert (body["stop_reason"], body["stop_sequence"]) == ("stop_sequence", "lo")
    ending = events(message(client, stop_sequences=["x", "lo"], stream=True))[-2]
    assert ending["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "lo"}


def test_a_streamed_message(client: FlaskClient) -> None:
    found = events(message(client, stream=True))
    kinds = [event["type"] for event in found]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert "".join(e["delta"]["text"] for e in found if e["type"] == "content_block_delta") == "hello"
    assert found[-2]["usage"]["output_tokens"] == 5
    assert found[-2]["delta"]["stop_reason"] == "end_turn"


def test_counting_tokens(client: FlaskClient) -> None:
    assert client.post("/v1/messages/count_tokens", json={"messages": HI}).get_json() == {"input_tokens": 2}


def picture(source: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (picture(None), "messages[0].content[0].source: expected an object"),
        (picture({}), "source.type: expected base64 or url, found None"),
        (picture({"type": "cloud", "url": "x"}), "source.type: expected base64 or url, found 'cloud'"),
        (picture({"type": "file", "file_id": "file_1"}), "source.type: file: no files are kept here"),
        (picture({"type": "base64"}), "source.data: expected a string"),
        (picture({"type": "url"}), "source.url: expected a string"),
        (picture({"type": "url", "url": "https://example.com/cat.png"}), "fetches no addresses"),
        ({"system": 5}, "system"),
        ({"system": {}}, "system"),
        ({"tools": [{}]}, "tools[0].name"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [{"name": "f"}], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
        ({"thinking": {"type": "some"}}, "thinking.type"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_use"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0].tool_use_id"),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use"}]}]}, "messages[0].content[0].input"),
        ({"stop_sequences": 5}, "stop_sequences"),
        ({"temperature": "x"}, "temperature"),
    ],
)
def test_wrong_message_requests(client: FlaskClient, fields: dict[str, Any], word: str) -> None:
    answer = message(client, **fields)
    assert answer.status_code == 400
    body = answer.get_json()
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert word in body["error"]["message"]


def test_other_errors_have_the_shape_of_the_api(client: FlaskClient) -> None:
    for answer, status in (
        (client.post("/v1/messages", data="x", content_type="text/plain"), 415),
        (client.post("/v1/messages", data=b"{", content_type="application/json"), 400),
        (message(client, messages=[{"role": "user", "content": "bad!"}]), 500),
        (client.post("/v1/messages", data=b" " * (17 << 20), content_type="application/json"), 413),
    ):
        assert answer.status_code == status
        assert answer.get_json()["type"] == "error"
