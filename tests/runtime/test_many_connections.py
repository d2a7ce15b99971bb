"""More clients than threads at first, and more open connections than the web server's own default."""

from __future__ import annotations

import http.client
import resource
import subprocess
import sys
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
from flask import Flask

from runtime.server import NUM_THREADS, WebServer, bind

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_S = 60


class Pages:
    """An application with a page that waits and one that does not."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.app = Flask("pages")
        self.app.add_url_rule("/slow", "slow", self._slow)
        self.app.add_url_rule("/fast", "fast", lambda: "fast")

    def _slow(self) -> str:
        self.may_end.wait(LIMIT_S)
        return "slow"


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def port(pages: Pages) -> Iterator[int]:
    listener = bind(0, explicit=True)
    server = WebServer(pages.app, listener)
    server.start()
    yield listener.port
    pages.may_end.set()
    server.close(timeout_s=10)


class Clients:
    """Connections that stay open until the test ends."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self._port = port
        self._stack = stack

    def ask(self, path: str) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=LIMIT_S)
        self._stack.enter_context(closing(connection))
        connection.request("GET", path)
        return connection


@pytest.fixture
def clients(port: int) -> Iterator[Clients]:
    with ExitStack() as stack:
        yield Clients(port, stack)


def test_the_page_does_not_wait_for_replies_however_many_there_are(pages: Pages, clients: Clients) -> None:
    slow = [clients.ask("/slow") for _client in range(2 * NUM_THREADS)]
    fast = clients.ask("/fast")
    assert fast.getresponse().read() == b"fast"
    assert not pages.may_end.is_set()
    pages.may_end.set()
    assert {connection.getresponse().read() for connection in slow} == {b"slow"}


def test_clients_that_keep_their_connections_shut_nobody_out(clients: Clients) -> None:
    idle = [clients.ask("/fast") for _client in range(200)]
    assert {connection.getresponse().read() for connection in idle} == {b"fast"}
    assert clients.ask("/fast").getresponse().read() == b"fast"
    assert idle[0].sock is not None


def test_a_thread_that_can_not_be_started_costs_no_reply(
    pages: Pages, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    slow = [clients.ask("/slow") for _client in range(NUM_THREADS)]
    fast = [clients.ask("/fast") for _client in range(4)]
    pages.may_end.set()
    assert {connection.getresponse().read() for connection in slow} == {b"slow"}
    assert {connection.getresponse().read() for connection in fast} == {b"fast"}
    monkeypatch.undo()
    pages.may_end.clear()
    slow = [clients.ask("/slow") for _client in range(NUM_THREADS + 4)]
    assert clients.ask("/fast").getresponse().read() == b"fast"
    pages.may_end.set()
    assert {connection.getresponse().read() for connection in slow} == {b"slow"}


@pytest.mark.parametrize(
    ("soft", "hard", "expected"), [(256, 4096, "500 600"), (256, 256, "156 256"), (4096, 4096, "500 4096")]
)
def test_no_more_connections_than_open_files(soft: int, hard: int, expected: str) -> None:
    code = """
import resource, runtime.server
print(runtime.server.connection_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected
