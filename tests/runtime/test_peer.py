"""Kept chats are for the user who runs the program, not for everyone on the machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runtime.api import peer
from runtime.api.peer import find_owner, owner_in
from runtime.history.history import History
from runtime.history.store import open_store
from runtime.server import WebServer, bind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

    from runtime.engine.engine import Engine

NOBODY = 65534
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     7        0 101 1 0
   2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 102 1 0
   3: 0100007F:C350 0100007F:1F91 01 00000000:00000000 00:00000000 00000000  1001        0 103 1 0
   4: broken
"""
CLIENT = """
import os, socket, sys
"".encode("idna")  # while the standard library can still be read
os.setuid(int(sys.argv[1]))
connection = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
connection.sendall(f"GET {sys.argv[3]} HTTP/1.0\\r\\nHost: 127.0.0.1\\r\\n\\r\\n".encode())
while part := connection.recv(65536):
    sys.stdout.buffer.write(part)
"""


@pytest.mark.parametrize(
    ("address", "client", "server", "uid"),
    [
        ("127.0.0.1", 50000, 8080, 1000),
        ("127.0.0.1", 50000, 8081, 1001),
        ("127.0.0.1", 50001, 8080, None),
        ("127.0.0.2", 50000, 8080, None),
        ("::1", 50000, 8080, None),
        ("", 50000, 8080, None),
    ],
)
def test_the_owner_is_that_of_the_clients_end(address: str, client: int, server: int, uid: int | None) -> None:
    assert owner_in(TABLE.splitlines(), address, client, server) == uid


def test_a_real_connection_is_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert find_owner("127.0.0.1", client.getsockname()[1], port) == os.getuid()


def test_a_system_without_the_table_lets_through(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peer, "TABLE", tmp_path / "none")
    assert find_owner("127.0.0.1", 50000, 8080) is None


@pytest.fixture
def address(engine: Engine, make_client: Callable[..., FlaskClient], tmp_path: Path) -> Iterator[str]:
    """A real server whose history is open."""
    history = History(lambda: open_store(tmp_path, pytest.fail))
    listener = bind(0, explicit=False)
    server = WebServer(make_client(engine, history=history).application, listener)
    server.start()
    yield listener.address
    server.close(1)
    history.close()


def ask(address: str, path: str, uid: int) -> tuple[int, str]:
    """Send a request as another user; returns status and body."""
    port = address.rpartition(":")[2]
    command = [sys.executable, "-I", "-c", CLIENT, str(uid), port, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    head, _, body = done.stdout.partition("\n\n")
    return int(head.split()[1]), body


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("path", ["/api/chats", "/api/preferences", "/api/presets", "/api/chats/export"])
def test_another_user_is_refused(address: str, path: str) -> None:
    status, body = ask(address, path, NOBODY)
    assert (status, json.loads(body)["error"]["code"]) == (403, "other_user")
    assert ask(address, path, os.getuid())[0] == 200
    assert ask(address, "/health", NOBODY)[0] == 200
