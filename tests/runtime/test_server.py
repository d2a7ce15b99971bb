"""The real web server on a real socket: ports, immediate tokens, clients that hang up."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from packer.errors import MachineError
from runtime.api import create_app
from runtime.server import HOST, WebServer, bind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.chat_service import ChatService
    from runtime.engine.engine import Engine

BODY = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def port(service_factory: Callable[..., ChatService]) -> Iterator[int]:
    listener = bind(0, explicit=True)
    server = WebServer(create_app(service_factory()), listener)
    server.start()
    yield listener.port
    server.close(2)


def post(port: int, body: dict[str, Any]) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    return connection


def wait_until(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_a_taken_port_gives_the_next_free_one() -> None:
    first = bind(0, explicit=False)
    second = bind(first.port, explicit=False)
    try:
        assert second.port != first.port
        assert f"port {first.port} is taken" in second.why
        assert second.address == f"http://127.0.0.1:{second.port}"
    finally:
        first.socket.close()
        second.socket.close()


def test_an_explicit_port_must_be_free() -> None:
    first = bind(0, explicit=True)
    try:
        with pytest.raises(MachineError, match=f"port {first.port} is in use already") as caught:
            bind(first.port, explicit=True)
        assert caught.value.exit_code == 7
    finally:
        first.socket.close()


def test_only_this_machine_can_connect(port: int) -> None:
    with socket.create_connection((HOST, port), timeout=5) as connection:
        assert connection.getsockname()[0] == "127.0.0.1"
    with socket.socket() as probe, pytest.raises(OSError):
        probe.settimeout(1)
        probe.connect(("127.0.0.2", port))


def test_answers_say_nothing_about_the_server(port: int) -> None:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    connection.request("GET", "/health")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("Server") is None
    answer.read()
    connection.close()


def test_every_token_is_sent_at_once(port: int, runner: Any) -> None:
    runner.gate = threading.Semaphore(2)
    connection = post(port, {**BODY, "stream": True})
    answer = connection.getresponse()
    seen = b""
    while b'"content":"e"' not in seen:
        seen += answer.readline()
    assert b'"content":"l"' not in seen
    runner.gate.release()
    while b'"content":"l"' not in seen:
        seen += answer.readline()
    runner.gate = None
    assert answer.read().endswith(b"data: [DONE]\n\n")
    connection.close()


@pytest.mark.parametrize("runner", [{"context_tokens": 1_000_000}], indirect=True)
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_while_tokens_come(port: int, engine: Engine, runner: Any, stream: bool) -> None:
    runner.reply = b"x" * 1_000_000
    connection = post(port, {**BODY, "stream": stream})
    wait_until(lambda: engine.current_load().num_running == 1)
    if stream:
        connection.getresponse().readline()
    connection.sock.close() if connection.sock else None
    connection.close()
    wait_until(lambda: engine.current_load().num_running == 0)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_while_the_prompt_is_read(port: int, engine: Engine, runner: Any, stream: bool) -> None:
    runner.gate = threading.Semaphore(0)
    connection = post(port, {**BODY, "stream": stream})
    wait_until(lambda: engine.current_load().num_running == 1)
    connection.close()
    wait_until(lambda: engine.current_load().num_running == 0)
    runner.gate = None


def test_the_official_client(port: int) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"http://{HOST}:{port}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["tiny"]
        whole = client.chat.completions.create(model="tiny", messages=BODY["messages"])
        assert whole.choices[0].message.content == "hello"
        stream = client.chat.completions.create(
            model="tiny", messages=BODY["messages"], stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "hello"
        assert chunks[-1].usage.completion_tokens == 5
        with pytest.raises(openai.BadRequestError, match="temperature"):
            client.chat.completions.create(model="tiny", messages=BODY["messages"], temperature="hot")


def test_a_full_queue_is_refused_with_a_time_to_come_back(port: int, engine: Engine, runner: Any) -> None:
    """One runs and three wait, which is all that this engine's queue takes."""
    runner.gate = threading.Semaphore(0)
    first = post(port, BODY)
    wait_until(lambda: engine.current_load().num_running == 1)
    accepted = [first, *(post(port, BODY) for _ in range(3))]
    wait_until(lambda: engine.current_load().num_waiting == 3)
    refused = post(port, BODY)
    answer = refused.getresponse()
    assert answer.status == 503
    assert int(answer.getheader("Retry-After") or 0) > 0
    error = json.loads(answer.read())["error"]
    assert (error["type"], error["code"], error["param"]) == ("server_error", "queue_full", None)
    assert "3 requests wait" in error["message"]
    runner.gate = None
    for connection in accepted:
        assert connection.getresponse().status == 200
    again = post(port, BODY)
    assert again.getresponse().status == 200
    for connection in (*accepted, refused, again):
        connection.close()


def test_a_crowd_is_answered_or_refused_and_nobody_is_forgotten(port: int, engine: Engine, runner: Any) -> None:
    runner.gate = threading.Semaphore(0)
    first = post(port, BODY)
    wait_until(lambda: engine.current_load().num_running == 1)
    crowd = [post(port, BODY) for _ in range(30)]
    wait_until(lambda: engine.current_load().num_waiting == 3)
    health = http.client.HTTPConnection(HOST, port, timeout=10)
    health.request("GET", "/health")
    assert health.getresponse().status == 200
    runner.gate = None
    statuses = sorted(connection.getresponse().status for connection in crowd)
    assert first.getresponse().status == 200
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 3
    assert (engine.current_load().num_running, engine.current_load().num_waiting) == (0, 0)
    for connection in (first, health, *crowd):
        connection.close()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/chat/completions", {**BODY, "max_tokens": 63}, "max_tokens"),
        ("/v1/chat/completions", {**BODY, "max_completion_tokens": 10**6}, "max_tokens"),
        ("/v1/completions", {"prompt": "hi", "max_tokens": 63}, "max_tokens"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * 64}]}, "messages"),
        ("/v1/completions", {"prompt": "x" * 80}, "prompt"),
    ],
)
def test_what_can_never_fit_is_refused_with_the_numbers(
    port: int, runner: Any, path: str, body: dict[str, Any], field: str
) -> None:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    error = json.loads(answer.read())["error"]
    connection.close()
    assert answer.status == 400
    assert (error["type"], error["code"]) == ("invalid_request_error", "context_length_exceeded")
    assert error["param"] == field
    assert "context holds 64" in error["message"]
    assert not runner.steps


def test_a_reply_that_just_fits_is_given(port: int) -> None:
    connection = post(port, {**BODY, "max_tokens": 62})
    assert connection.getresponse().status == 200
    connection.close()
