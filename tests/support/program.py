"""Runs ``packer`` and packed files the way people do: as processes, in bare environments, over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CHECKOUT = Path(__file__).parent.parent.parent
START_LIMIT_S = 120


def packer(*arguments: object, cwd: Path = CHECKOUT, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the ``packer`` command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "packer", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=2400,
    )


@dataclass
class Server:
    """A packed file that serves; ``address`` such as ``http://127.0.0.1:8080``; ``lines`` what it printed first."""

    process: subprocess.Popen[str]
    address: str
    lines: list[str] = field(default_factory=list)

    def request(self, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Send one request and return status and body, whatever the status."""
        data = None if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.address + path, data=data, headers=given)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def json(self, path: str, body: object = None) -> Any:
        """Send one request that must succeed and return its JSON."""
        status, content = self.request(path, body)
        assert status == 200, content
        return json.loads(content)

    def wait_until_ready(self, *, starts_again: bool = False) -> None:
        """Wait until the model is loaded; connections may break only where the program ``starts_again``."""
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate()
            try:
                if self.request("/health")[0] == 200:
                    return
            except OSError:
                if not starts_again:
                    raise
            time.sleep(0.02)
        raise AssertionError("the server did not become ready")

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """End it by a signal and return its exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(timeout=30)


@dataclass(frozen=True)
class Launcher:
    """Starts the packed file ``path`` with the runtime cache in ``cache``."""

    path: Path
    cache: Path

    def environment(self, **env: str) -> dict[str, str]:
        """As bare as ``env -i``, but for the places of the cache and of kept chats."""
        return {"PACKER_CACHE_DIR": str(self.cache), "PACKER_DATA_DIR": f"{self.cache}-data", **env}

    def run(
        self, *arguments: object, prefix: Sequence[object] = (), **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        environment = options.pop("env", self.environment())
        return subprocess.run(
            [str(part) for part in (*prefix, self.path, *arguments)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            **options,
        )

    @contextlib.contextmanager
    def serving(
        self, *arguments: object, prefix: Sequence[object] = (), wait: bool = True, **options: Any
    ) -> Iterator[Server]:
        """Start it as a server on a free port, ready to answer; end it afterwards."""
        with self._started("--port", free_port(), *arguments, prefix=prefix, **options) as server:
            if wait:
                server.wait_until_ready()
            yield server

    @contextlib.contextmanager
    def serving_as_packed(self) -> Iterator[Server]:
        """Start it as a server on the port that its settings prefer."""
        with self._started() as server:
            server.wait_until_ready()
            yield server

    @contextlib.contextmanager
    def _started(self, *arguments: object, prefix: Sequence[object] = (), **options: Any) -> Iterator[Server]:
        environment = options.pop("env", self.environment())
        process = subprocess.Popen(
            [str(part) for part in (*prefix, self.path, "--no-browser", *arguments)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        try:
            yield Server(process, *read_address(process))
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def read_address(process: subprocess.Popen[str]) -> tuple[str, list[str]]:
    """Wait for the address that a server prints; return it and the lines so far."""
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0], lines
    errors = process.stderr.read() if process.stderr else ""
    raise AssertionError(f"no address was printed; exit code {process.wait()}:\n{errors}")


def free_port() -> int:
    """A port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
