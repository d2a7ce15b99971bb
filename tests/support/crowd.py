"""Keeps a server with a small context busy and its queue full, until it leaves.

Each reply needs more than half of the context, so one runs while the others wait.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from runtime.engine.engine import MAX_WAITING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

NUM_PROMPTS, NUM_CHOICES = 4, 8
NUM_CONNECTIONS = MAX_WAITING // (NUM_PROMPTS * NUM_CHOICES)
NUM_TOKENS = 1500
LIMIT_S = 60
POLL_S = 0.02


def ask_beside_crowds(address: str, ask: Callable[[], object]) -> None:
    """Ask beside a crowd until ``ask`` raises, a few times at most: one of the crowd's replies may just have ended."""
    for _ in range(8):
        with Crowd(address):
            ask()


class Crowd:
    """Requests for as many long replies as may wait, and for one more; a context manager that waits for the queue."""

    def __init__(self, address: str) -> None:
        """``address`` such as ``http://127.0.0.1:8080``."""
        self._address = address
        host = address.removeprefix("http://")
        self._connections = [http.client.HTTPConnection(host, timeout=LIMIT_S) for _ in range(NUM_CONNECTIONS + 1)]

    def __enter__(self) -> Self:
        *many, one = self._connections
        prompts = [f"number {number}" for number in range(NUM_PROMPTS)]
        for number, connection in enumerate(many, start=1):
            self._ask(connection, {"prompt": prompts, "n": NUM_CHOICES})
            # The answer's first line comes with its first token, which is long after it was taken.
            self._wait_for(number * NUM_PROMPTS * NUM_CHOICES)
        self._ask(one, {"prompt": "one more"})
        self._wait_for(MAX_WAITING + 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Hang up, and wait until the server has noticed."""
        for connection in self._connections:
            connection.close()
        self._wait_for(0)

    def _ask(self, connection: http.client.HTTPConnection, what: dict[str, Any]) -> None:
        body = {**what, "max_tokens": NUM_TOKENS, "ignore_eos": True, "stream": True, "logprobs": 20}
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})

    def _wait_for(self, num_requests: int) -> None:
        pause = threading.Event()
        for _ in range(round(LIMIT_S / POLL_S)):
            if self._num_requests() == num_requests:
                return
            pause.wait(POLL_S)
        raise AssertionError(f"{self._num_requests()} requests are at the server instead of {num_requests}")

    def _num_requests(self) -> int:
        with urllib.request.urlopen(f"{self._address}/metrics", timeout=LIMIT_S) as answer:
            page = answer.read().decode()
        found = re.findall(r"^packer_requests_(?:running|waiting) ([0-9.]+)", page, re.MULTILINE)
        assert len(found) == 2, page
        return int(sum(map(float, found)))
