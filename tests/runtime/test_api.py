"""The HTTP API through Flask's client, with the scripted model behind it."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from packer.errors import InputError
from runtime.api import replies
from runtime.engine.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def calling(name: str, arguments: Any) -> dict[str, Any]:
    """An assistant's message that calls a tool."""
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "tool_calls": [call]}


def ask(client: FlaskClient, **fields: Any) -> TestResponse:
    return client.post("/v1/chat/completions", json={"messages": HI, **fields})


def events(answer: TestResponse) -> list[Any]:
    """Parse server-sent events; the end marker is kept as text."""
    blocks = [block.removeprefix("data: ") for block in answer.get_data(as_text=True).split("\n\n") if block]
    return [block if block == "[DONE]" else json.loads(block) for block in blocks]


def error_of(answer: TestResponse) -> dict[str, Any]:
    error: dict[str, Any] = answer.get_json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_a_whole_answer(client: FlaskClient) -> None:
    answer = ask(client, model="anything", some_future_field={"x": 1})
    assert answer.status_code == 200
    body = answer.get_json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "hello"}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["prompt_tokens"] == 2
    assert body["usage"]["completion_tokens"] == 5
    assert body["usage"]["total_tokens"] == 7


def test_a_streamed_answer(client: FlaskClient) -> None:
    answer = ask(client, stream=True, stream_options={"include_usage": True})
    assert answer.mimetype == "text/event-stream"
    *chunks, done = events(answer)
    assert done == "[DONE]"
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]) == "hello"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 5


def test_usage_is_sent_only_when_asked_for(client: FlaskClient) -> None:
    assert all("usage" not in chunk for chunk in events(ask(client, stream=True))[:-1])


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_max_tokens(client: FlaskClient, field: str) -> None:
    body = ask(client, **{field: 2}).get_json()
    assert body["choices"][0]["message"]["content"] == "he"
    assert body["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("stop", ["l", ["l"], ["zzz", "l"]])
def test_stop(client: FlaskClient, stop: Any) -> None:
    body = ask(client, stop=stop).get_json()
    assert body["choices"][0]["message"]["content"] == "he"
    assert body["choices"][0]["finish_reason"] == "stop"


def test_text_parts_are_joined(client: FlaskClient, encoder: Any) -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert ask(client, messages=[{"role": "user", "content": parts}]).status_code == 200
    assert encoder.seen == [[{"role": "user", "content": "one two"}]]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [*HI, {"role": "user"}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url.url"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"min_p": []}, "min_p"),
        ({"top_k": 1.5}, "top_k"),
        ({"top_k": 2**31}, "top_k"),
        ({"seed": "x"}, "seed"),
        ({"seed": 2**70}, "seed"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"presence_penalty": "x"}, "presence_penalty"),
        ({"repeat_penalty": 0}, "repeat_penalty"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_completion_tokens": -2}, "max_completion_tokens"),
        ({"stop": 5}, "stop"),
        ({"stop": [5]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": 1}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"n": 9}, "n"),
        ({"n": 0}, "n"),
        ({"model": 5}, "model"),
        ({"tools": 5}, "tools"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [TOOL, TOOL]}, "tools[1]"),
        ({"tools": [TOOL] * 129}, "tools"),
        ({"tools": [TOOL], "tool_choice": "some"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "parallel_tool_calls": 1}, "parallel_tool_calls"),
        ({"tools": [TOOL], "grammar": 'root ::= "a"'}, "grammar"),
        ({"tools": [TOOL], "response_format": {"type": "json_object"}}, "response_format"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"enable_thinking": "no"}, "enable_thinking"),
        ({"chat_template_kwargs": {"enable_thinking": "no"}}, "chat_template_kwargs.enable_thinking"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [5]}]}, "messages[0].tool_calls[0]"),
        ({"messages": [calling("f", "[" * 100_000)]}, "messages[0].tool_calls[0].function.arguments"),
        ({"messages": [calling("f", "[]")]}, "messages[0].tool_calls[0].function.arguments"),
        ({"messages": [calling("f", None)]}, "messages[0].tool_calls[0].function.arguments"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
        ({"logprobs": 1}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"pattern": "(?=a)"}}}},
            "response_format.json_schema.schema",
        ),
        ({"json_schema": {"type": "wizard"}}, "json_schema"),
        ({"grammar": 5}, "grammar"),
        ({"grammar": 'root ::= "a"', "response_format": {"type": "json_object"}}, "grammar"),
        ({"typical_p": 2}, "typical_p"),
        ({"repeat_last_n": -2}, "repeat_last_n"),
        ({"dry_multiplier": -1}, "dry_multiplier"),
        ({"dry_base": 0.5}, "dry_base"),
        ({"dry_allowed_length": "2"}, "dry_allowed_length"),
        ({"dry_penalty_last_n": 1.5}, "dry_penalty_last_n"),
        ({"dry_sequence_breakers": "x"}, "dry_sequence_breakers"),
        ({"dry_sequence_breakers": [""]}, "dry_sequence_breakers"),
        ({"dry_sequence_breakers": ["x"] * 17}, "dry_sequence_breakers"),
        ({"xtc_probability": 2}, "xtc_probability"),
        ({"xtc_threshold": -1}, "xtc_threshold"),
        ({"mirostat": 3}, "mirostat"),
        ({"mirostat_tau": "x"}, "mirostat_tau"),
        ({"mirostat_eta": 2}, "mirostat_eta"),
        ({"ignore_eos": 1}, "ignore_eos"),
        ({"logit_bias": 5}, "logit_bias"),
        ({"logit_bias": {"5": "x"}}, "logit_bias"),
        ({"logit_bias": {"5": True}}, "logit_bias"),
        ({"logit_bias": [[5]]}, "logit_bias"),
        ({"logit_bias": [[-1, 2]]}, "logit_bias"),
        ({"logit_bias": [[True, 2]]}, "logit_bias"),
        ({"logit_bias": [[5.5, 2]]}, "logit_bias"),
        ({"logit_bias": {"999999": 5}}, "logit_bias"),
        ({"lora": 0}, "lora"),
        ({"lora": [0]}, "lora[0]"),
        ({"lora": [{"scale": 1}]}, "lora[0].id"),
        ({"lora": [{"id": "0"}]}, "lora[0].id"),
        ({"lora": [{"name": 0}]}, "lora[0].name"),
        ({"lora": [{"id": 0, "scale": "x"}]}, "lora[0].scale"),
        ({"lora": [{"id": 0, "scale": 101}]}, "lora[0].scale"),
        ({"lora": [{"id": 0}]}, "lora"),
        ({"lora": [{}] * 65}, "lora"),
        ({"temperature": 10**400}, "temperature"),
        ({"top_k": 1e300}, "top_k"),
        ({"max_completion_tokens": 5, "max_tokens": "x"}, "max_tokens"),
        ({"response_format": ["json"]}, "response_format"),
    ],
)
def test_wrong_fields_are_refused_by_name(client: FlaskClient, fields: dict[str, Any], param: str) -> None:
    answer = ask(client, **fields)
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert param.split(".")[-1].split("[")[0] in error["message"]


def test_null_fields_mean_nothing(client: FlaskClient) -> None:
    names = ("temperature", "top_p", "stop", "seed", "n", "max_tokens", "stream", "stream_options", "tools")
    assert ask(client, **dict.fromkeys(names)).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"messages": NaN}', b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_object(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/v1/chat/completions", data=body, content_type="application/json")
    assert answer.status_code == 400
    error_of(answer)


def test_other_content_types_are_refused(client: FlaskClient) -> None:
    answer = client.post("/v1/chat/completions", data=json.dumps({"messages": HI}), content_type="text/plain")
    assert answer.status_code == 415
    assert "text/plain" in error_of(answer)["message"]


def test_unknown_addresses_and_methods(client: FlaskClient) -> None:
    assert error_of(client.get("/v2"))["message"].startswith("there is nothing")
    answer = client.get("/v1/chat/completions")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert error_of(answer)["message"] == "this address takes POST, not GET"


def test_answers_can_be_read_in_a_terminal(client: FlaskClient, runner: Any) -> None:
    runner.reply = "é漢".encode()
    text = ask(client).text
    assert "é漢" in text
    assert text.startswith('{"id":')
    assert client.application.json.dumps("\ud800") == '"\\ud800"'


def test_too_large_a_request(client: FlaskClient) -> None:
    answer = client.post("/v1/chat/completions", data=b" " * (17 << 20), content_type="application/json")
    assert answer.status_code == 413
    error_of(answer)


def test_too_long_a_conversation(client: FlaskClient) -> None:
    answer = ask(client, messages=[{"role": "user", "content": "x" * 64}])
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["code"] == "context_length_exceeded"
    assert "64" in error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_failing_model_is_an_error_not_a_broken_stream(client: FlaskClient, stream: bool) -> None:
    answer = ask(client, messages=[{"role": "user", "content": "bad!"}], stream=stream)
    assert answer.status_code == 500
    assert error_of(answer)["code"] == "generation_failed"
    assert ask(client).status_code == 200


def test_a_full_queue(client: FlaskClient, engine: Engine, runner: Any) -> None:
    runner.gate = threading.Semaphore(0)
    threads = [threading.Thread(target=ask, args=(client,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while len(engine._waiting) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    answer = ask(client)
    runner.gate = None
    for thread in threads:
        thread.join()
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert error_of(answer)["code"] == "queue_full"


def test_closing_a_stream_frees_the_engine(client: FlaskClient, engine: Engine, runner: Any) -> None:
    runner.reply = b"x" * 10_000
    runner.context_tokens = 100_000
    runner.gate = threading.Semaphore(5)
    answer = client.post("/v1/chat/completions", json={"messages": HI, "stream": True}, buffered=False)
    answer.close()
    runner.gate = None
    runner.reply = b"free"
    assert ask(client, messages=[{"role": "user", "content": "next"}]).get_json()["usage"]["completion_tokens"] == 4
    assert engine.current_load().num_running == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_while_nothing_is_sent(
    client: FlaskClient, engine: Engine, runner: Any, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(replies, "POLL_S", 0.01)
    runner.gate = threading.Semaphore(0)
    gone = {"waitress.client_disconnected": lambda: len(polls) > 3 or polls.append(1)}
    polls: list[int] = []
    answer = client.post("/v1/chat/completions", json={"messages": HI, "stream": stream}, environ_overrides=gone)
    assert answer.status_code == replies.CLIENT_CLOSED_REQUEST
    runner.gate = None
    assert ask(client).status_code == 200
    assert engine.current_load().num_running == 0


def test_models(client: FlaskClient) -> None:
    body = client.get("/v1/models").get_json()
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["tiny"]
    assert client.get("/v1/models/tiny").get_json()["id"] == "tiny"
    assert client.get("/v1/models/other").status_code == 404


def test_health_when_ready(client: FlaskClient) -> None:
    answer = client.get("/health")
    expected = {"status": "ok", "device": {"name": "CPU", "why": "test"}}
    assert (answer.status_code, answer.get_json()) == (200, expected)


def test_info(engine: Engine, make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(engine, greeting="Hello!", starters=("One", "Two"), locked=frozenset({"chat"}))
    body = client.get("/api/info").get_json()
    assert body["title"] == "Test"
    assert body["chat"] == {"system_prompt": "", "greeting": "Hello!", "starters": ["One", "Two"]}
    assert body["context"] == {"size_tokens": 64, "why": "test"}
    assert body["locked"] == ["chat"]
    assert body["sampling"]["temperature"] == 0.7
    assert body["threads"]["count"] == 1


def test_quit(engine: Engine, make_client: Callable[..., FlaskClient]) -> None:
    asked: list[bool] = []
    client = make_client(engine, on_quit=lambda: asked.append(True))
    assert client.get("/api/quit").status_code == 405
    assert not asked
    assert client.post("/api/quit").status_code == 200
    assert asked == [True]


def test_requests_wait_for_the_model(runner: Any, make_client: Callable[..., FlaskClient]) -> None:
    loaded = threading.Event()

    def load(progress: Callable[[float], bool]) -> Any:
        progress(0.25)
        loaded.wait(5)
        return runner

    engine = Engine(load)
    client = make_client(engine)
    engine.start()
    deadline = time.monotonic() + 5
    while engine.status.progress != 0.25 and time.monotonic() < deadline:
        time.sleep(0.002)
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.get_json() == {"status": "loading", "progress": 0.25, "stage": "loading model"}
    threading.Timer(0.1, loaded.set).start()
    assert ask(client).status_code == 200
    assert engine.stop(5)


def test_waiting_for_the_model_has_a_limit(
    runner: Any, make_client: Callable[..., FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "LOADING_TIMEOUT_S", 0.01)
    loaded = threading.Event()
    engine = Engine(lambda _progress: loaded.wait(5) and runner)
    client = make_client(engine)
    engine.start()
    answer = ask(client)
    loaded.set()
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert engine.wait_loaded(5).state == "ready"
    assert engine.stop(5)


def test_a_model_that_cannot_be_loaded(make_client: Callable[..., FlaskClient]) -> None:
    def load(_progress: object) -> Any:
        raise InputError("model.gguf: can't be loaded")

    engine = Engine(load)
    client = make_client(engine)
    engine.start()
    engine.wait_loaded(5)
    health = client.get("/health")
    assert health.status_code == 500
    assert health.get_json()["error"]["message"] == "model.gguf: can't be loaded"
    answer = ask(client)
    assert answer.status_code == 503
    assert "model.gguf" in error_of(answer)["message"]
