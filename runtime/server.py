"""The web server: waitress on a loopback socket that is bound before anything else can fail."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import select
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packer.errors import MachineError

if TYPE_CHECKING:
    from flask import Flask

HOST = "127.0.0.1"
NUM_THREADS, MAX_THREADS = 64, 320
"""At first, and at most: every request that is worked on or waits holds one, and the page needs some beside them."""

MAX_CONNECTIONS, IDLE_S = 500, 60
"""Below what ``select`` can watch on Windows; and when one that is not used is closed."""
OTHER_FILES, MIN_CONNECTIONS = 100, 20
"""What the program has open beside connections: the model's files, chats, what is read for a request."""

PORTS_TRIED = 20
POLL_S = 1.0
MAX_PORT = 65535
MAX_BODY_BYTES = 129 << 20
"""Above the largest limit that the API itself sets, so that its clear words are heard."""
NEVER = 1 << 62
"""Bytes after which waitress writes what it holds to a temporary file: prompts and replies stay in memory."""


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A bound socket, its address as people type it, and why it is this one."""

    socket: socket.socket
    port: int
    why: str

    @property
    def address(self) -> str:
        """The URL of the page."""
        return f"http://{HOST}:{self.port}"


def bind(port: int, *, explicit: bool) -> Listener:
    """Bind ``port`` or, unless it was asked for on the command line, the next free one; 0 takes any.

    Raises MachineError when the explicit port can't be had, or none at all.
    """
    if explicit or port == 0:
        try:
            bound = _bind_one(port)
        except OSError as error:
            raise MachineError(_refusal(port, error)) from error
        return Listener(socket=bound, port=bound.getsockname()[1], why="as asked for" if port else "any free port")
    for candidate in [*range(port, min(port + PORTS_TRIED, MAX_PORT + 1)), 0]:
        try:
            bound = _bind_one(candidate)
        except OSError as error:
            last = error
            continue
        why = "this machine only" if candidate == port else f"port {port} is taken; this machine only"
        return Listener(socket=bound, port=bound.getsockname()[1], why=why)
    raise MachineError(f"no port can be opened on {HOST} ({last.strerror}); is networking allowed here?")


def _bind_one(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # On Windows SO_REUSEADDR would let two programs listen on the same port.
        exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR if exclusive is None else exclusive, 1)
        bound.bind((HOST, port))
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    return bound


def _refusal(port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use already; choose another with --port, or leave the option away"
    if error.errno == errno.EACCES:
        return f"port {port} may not be opened by a normal user; choose one above 1023"
    return f"port {port} can't be opened ({error.strerror}); choose another with --port"


def _growing_dispatcher() -> Any:
    """Make what hands requests to threads, and starts more when all are busy: the page must not wait for replies."""
    from waitress.task import ThreadedTaskDispatcher

    class GrowingDispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]
        def add_task(self, task: Any) -> None:
            super().add_task(task)
            with self.lock:
                num_threads = len(self.threads) - self.stop_count
                num_idle = num_threads - self.active_count
                if self.stop_count or num_threads >= MAX_THREADS or len(self.queue) <= num_idle:
                    return
                number = next(number for number in itertools.count() if number not in self.threads)
                # Where the system has no more threads, one of those that are there comes to it.
                with contextlib.suppress(RuntimeError):
                    self.start_new_thread(self.handler_thread, number)
                    self.threads.add(number)
                    self.active_count += 1

    dispatcher = GrowingDispatcher()
    dispatcher.set_thread_count(NUM_THREADS)
    return dispatcher


def connection_limit() -> int:
    """Return how many connections may be open. A lower limit of open files is raised if that is allowed.

    Waitress spins where it is told of a connection that can't be accepted.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MAX_CONNECTIONS
    wanted = MAX_CONNECTIONS + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MAX_CONNECTIONS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    return max(MIN_CONNECTIONS, soft - OTHER_FILES)


class WebServer:
    """Serves a WSGI application from background threads."""

    def __init__(self, app: Flask, listener: Listener) -> None:
        """Set up waitress: tokens go out at once, and a client that hangs up is noticed while nothing is sent."""
        import waitress

        logging.getLogger("waitress").setLevel(logging.ERROR)
        self._map: dict[int, Any] = {}
        self._ending = threading.Event()
        self._server = waitress.create_server(
            app,
            map=self._map,
            sockets=[listener.socket],
            _dispatcher=_growing_dispatcher(),
            connection_limit=connection_limit(),
            channel_timeout=IDLE_S,
            channel_request_lookahead=5,
            max_request_body_size=MAX_BODY_BYTES,
            inbuf_overflow=NEVER,
            outbuf_overflow=NEVER,
            ident=None,
            clear_untrusted_proxy_headers=True,
        )
        self._thread = threading.Thread(target=self._run, name="web server", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def _run(self) -> None:
        from waitress import wasyncore

        while not self._ending.is_set():
            wasyncore.loop(timeout=POLL_S, use_poll=hasattr(select, "poll"), map=self._map, count=1)

    def close(self, timeout_s: float) -> None:
        """Let answers that are nearly done go out, end the threads and close every connection.

        The connections are closed by the caller's thread: the trigger is one of them, and must be there to be pulled.
        """
        from waitress import wasyncore

        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=timeout_s)
        self._ending.set()
        self._server.pull_trigger()
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            wasyncore.close_all(self._map, ignore_all=True)
