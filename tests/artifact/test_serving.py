"""The server inside a packed file: start lines, the OpenAI API with the official client, safety, a clean end."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from typing import TYPE_CHECKING

import openai
import pytest

from tests.support import program

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server(packed: object, runtime_cache: object) -> Iterator[program.Server]:
    with program.Launcher(packed, runtime_cache).serving() as running:  # type: ignore[arg-type]
        yield running


@pytest.fixture(scope="module")
def client(server: program.Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0) as made:
        yield made


MESSAGES = [{"role": "user", "content": "Hello"}]


def test_five_lines_say_what_was_chosen_and_why(server: program.Server) -> None:
    labels = [line.split()[0] for line in server.lines]
    assert labels == ["Device", "CPU", "Threads", "Context", "Address"]


def test_the_openai_client_gets_a_reply(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="any", messages=MESSAGES, max_tokens=8, temperature=0)  # type: ignore[arg-type]
    assert reply.choices[0].message.content
    assert reply.choices[0].finish_reason in {"stop", "length"}
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_the_openai_client_streams_the_same_reply(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="any", messages=MESSAGES, max_tokens=8, temperature=0)  # type: ignore[arg-type]
    stream = client.chat.completions.create(
        model="any",
        messages=MESSAGES,  # type: ignore[arg-type]
        max_tokens=8,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert len([chunk for chunk in chunks if chunk.choices]) >= 4


SCHEMA = {
    "type": "object",
    "properties": {
        "answer": {"enum": ["yes", "no"]},
        "sure": {"type": "boolean"},
        "share": {"type": "number", "minimum": 0.25, "exclusiveMaximum": 1},
        "code": {"type": "string", "pattern": r"^[A-Z]{3}-\d{2}$"},
    },
    "required": ["answer", "sure", "share", "code"],
    "additionalProperties": False,
}


def test_a_schema_makes_every_reply_valid_json(client: openai.OpenAI) -> None:
    """The model's weights are random: the grammar alone gives the shape."""
    form = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA}}
    for seed in range(4):
        reply = client.chat.completions.create(
            model="any",
            messages=MESSAGES,  # type: ignore[arg-type]
            response_format=form,  # type: ignore[arg-type]
            max_tokens=160,
            temperature=1,
            seed=seed,
        )
        verdict = json.loads(reply.choices[0].message.content or "")
        assert verdict["answer"] in {"yes", "no"}
        assert type(verdict["sure"]) is bool
        assert 0.25 <= verdict["share"] < 1
        assert re.fullmatch(r"[A-Z]{3}-\d{2}", verdict["code"])
        assert set(verdict) == {"answer", "sure", "share", "code"}


def test_several_choices_come_back(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="any", messages=MESSAGES, max_tokens=4, n=3, temperature=1)  # type: ignore[arg-type]
    assert [choice.index for choice in reply.choices] == [0, 1, 2]


def test_models_and_health(client: openai.OpenAI, server: program.Server) -> None:
    assert len(client.models.list().data) == 1
    assert server.json("/health")["status"] == "ok"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": MESSAGES, "temperature": "hot"}, "temperature"),
        ({"messages": MESSAGES, "max_tokens": -3}, "max_tokens"),
        ({"messages": MESSAGES, "n": 500}, "n"),
        ({"messages": MESSAGES, "response_format": {"type": "poem"}}, "response_format"),
        ({"messages": MESSAGES, "mirostat": 9}, "mirostat"),
        ({"messages": [{"role": "user", "content": "word " * 9000}]}, "tokens"),
    ],
)
def test_bad_requests_get_an_openai_shaped_error(server: program.Server, body: object, word: str) -> None:
    status, content = server.request("/v1/chat/completions", body)
    assert status == 400, content
    error = json.loads(content)["error"]
    assert word in error["message"] or word == error["param"]
    assert set(error) >= {"message", "type", "param", "code"}


def test_bodies_that_are_no_json_and_unknown_paths(server: program.Server) -> None:
    assert server.request("/v1/chat/completions", "not an object")[0] == 400
    status, content = server.request("/v1/nothing")
    assert status == 404
    assert json.loads(content)["error"]["message"]


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_other_hosts_and_origins_are_refused(server: program.Server, headers: dict[str, str]) -> None:
    status, _ = server.request("/v1/models", headers=headers)
    assert status == 403


def test_no_cors_header_is_ever_sent(server: program.Server) -> None:
    with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2])), timeout=10) as plain:
        plain.sendall(b"OPTIONS /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := plain.recv(4096):
            answer += piece
    assert b"access-control" not in answer.lower()


def test_it_listens_on_the_loopback_interface_alone(server: program.Server) -> None:
    port = int(server.address.rpartition(":")[2])
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert [place for place in listening if place.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_a_client_that_goes_away_frees_the_slot(server: program.Server) -> None:
    """A long stream is dropped; the next request is answered long before that stream would have ended."""
    body = json.dumps({"messages": MESSAGES, "stream": True, "max_tokens": 1900, "temperature": 0, "ignore_eos": True})
    port = int(server.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        plain.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert plain.recv(100)
    reply = server.json("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 2})
    assert reply["choices"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly(launch: program.Launcher, sent: int) -> None:
    with launch.serving() as running:
        assert running.stop(sent) == 0
        errors = running.process.stderr.read() if running.process.stderr else ""
        assert "Traceback" not in errors


def test_it_ends_in_the_middle_of_a_reply(launch: program.Launcher) -> None:
    with launch.serving() as running:
        port = int(running.address.rpartition(":")[2])
        body = json.dumps({"messages": MESSAGES, "stream": True, "max_tokens": 1900})
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            plain.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            assert plain.recv(100)
            assert running.stop() == 0


def test_quit_from_the_page_ends_the_program(launch: program.Launcher) -> None:
    with launch.serving() as running:
        assert running.request("/api/quit", {})[0] == 200
        assert running.process.wait(timeout=20) == 0


def test_a_taken_port_is_a_clear_error(launch: program.Launcher) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = launch.run("--no-browser", "--port", port)
    assert done.returncode == 7
    assert str(port) in done.stderr


def test_the_preferred_port_gives_way_to_the_next_free_one(
    tiny_model: object, runtime_cache: object, tmp_path: object
) -> None:
    """A port from the settings is a wish, not an order."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path = tmp_path / "chat"  # type: ignore[operator]
        assert program.packer("build", tiny_model, "-o", path, "--port", port).returncode == 0
        bundle = program.Launcher(path, runtime_cache)  # type: ignore[arg-type]
        with bundle.serving_as_packed() as running:
            assert running.address != f"http://127.0.0.1:{port}"
            assert running.json("/health")["status"] == "ok"


def test_requests_wait_while_the_model_loads(launch: program.Launcher) -> None:
    """A request sent at once after the address is printed is answered, not refused."""
    with launch.serving(wait=False) as running:
        started = time.monotonic()
        reply = running.json("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 2})
        assert reply["choices"][0]["message"]["content"] is not None
        assert time.monotonic() - started < program.START_LIMIT_S
