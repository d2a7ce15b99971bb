"""Server mode from start to end: say what is happening, serve, open the page, end cleanly when told to.

Ctrl-C and SIGTERM are the normal ways to stop and give exit code 0; a second Ctrl-C ends at once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from packer.errors import EXIT_INTERRUPTED
from runtime.browser import has_display, open_page
from runtime.devices.report import LOOKING
from runtime.history.history import LOCKED_OFF, SWITCHED_OFF, History, kept_in
from runtime.report import say, say_fact
from runtime.restart import Restart
from runtime.server import WebServer, bind
from runtime.session import Session, open_session
from runtime.settings import choose_context
from runtime.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import FrameType

    from runtime.bundle import ModelSource
    from runtime.instance import Instance
    from runtime.llama.library import Library
    from runtime.server import Listener
    from runtime.settings import ContextChoice, Settings

_LOG = logging.getLogger(__name__)

ANSWER_GRACE_S = 0.1
STOP_TIMEOUT_S = 1.5
CLOSE_TIMEOUT_S = 4.5
POLL_S = 0.2


class StopSignal:
    """Set by Ctrl-C, SIGTERM or the page's quit button."""

    def __init__(self) -> None:
        """Start unset."""
        self._event = threading.Event()
        self._finished = threading.Event()
        self._close_handler: object = None

    def install(self) -> None:
        """Catch the signals and, on Windows, the closing of the window; main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        if sys.platform == "win32":
            from runtime.windows.console import CloseHandler

            signal.signal(signal.SIGBREAK, self._on_signal)
            self._close_handler = CloseHandler(self._on_close)

    def finished(self) -> None:
        """Say that everything is cleaned up."""
        self._finished.set()

    def set(self) -> None:
        """Ask the program to end."""
        self._event.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait; ``True`` once the program is to end."""
        return self._event.wait(timeout_s)

    def wait_until_set(self) -> None:
        """Wait until the program is to end; in between, Python gets to call the signals' handlers."""
        while not self.wait(POLL_S):
            pass

    def _on_close(self) -> None:
        """End, and hold Windows back until that is done; it would kill the process at once otherwise."""
        self._event.set()
        self._finished.wait(CLOSE_TIMEOUT_S)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._event.is_set() and number == signal.SIGINT:
            os._exit(EXIT_INTERRUPTED)
        self._event.set()


def serve(
    library: Library,
    settings: Settings,
    source: ModelSource,
    *,
    version: str,
    environ: Mapping[str, str],
    data_directory: Path | None = None,
    instance: Instance | None = None,
    timings: Timings | None = None,
    restart: Restart | None = None,
) -> int:
    """Run until told to stop; return the exit code. Raises PackerError when it can't start or the model can't load.

    After a ``restart`` it goes on where the program before it listened, whose page need not be opened again.
    """
    restart = restart or Restart(trouble="")
    timings = timings or Timings()
    stop = StopSignal()
    stop.install()
    listener = bind(restart.port or settings.port, explicit=settings.port_is_explicit)
    timings.event("port open")

    with timings.part("session"):
        session = open_session(
            library,
            settings,
            source,
            version=version,
            environ=environ,
            on_quit=stop.set,
            timings=timings,
            trouble=restart.trouble,
        )
    session.recovery.page_is_open = restart.page_is_open
    _tell_address(session, listener, instance)
    history = _history(settings, source, environ, data_directory)
    try:
        session.engine.start()
        announced = _announce_machine(session)
        with timings.part("page and API"):
            server = _start_server(session, listener, history, environ)
        _announce_service(listener, choose_context(settings.context_size, source.context_length), history)
        try:
            if _wait_for_model(session, stop):
                _tell_times(timings)
                if not announced:
                    _announce_device(session)
                _open_page_once(session, listener.address, settings, environ)
            stop.wait_until_set()
        finally:
            _shut_down(session, server)
    finally:
        history.close()
        session.close()
        if instance is not None:
            instance.close()
        stop.finished()
    return 0


def _tell_address(session: Session, listener: Listener, instance: Instance | None) -> None:
    """Let everyone know who has to: the page, other programs, and the one that is started again after a crash."""
    session.recovery.port = listener.port
    session.service.facts.address = listener.address
    if instance is not None:
        session.service.facts.instance = instance.id
        instance.publish(listener.address)


def _history(
    settings: Settings, source: ModelSource, environ: Mapping[str, str], data_directory: Path | None
) -> History:
    """Choose where chats are kept, if they are; nothing is opened yet."""
    if not settings.history:
        return History(why=LOCKED_OFF if settings.is_locked("history.enabled") else SWITCHED_OFF)
    name = settings.history_name or settings.title or source.name
    return kept_in(name, data_directory, environ, lambda problem: say(problem, sys.stderr))


def _start_server(session: Session, listener: Listener, history: History, environ: Mapping[str, str]) -> WebServer:
    from runtime.api import create_app
    from web_ui import create_blueprint

    app = create_app(session.service, [create_blueprint()], history=history, environ=environ)
    server = WebServer(app, listener)
    server.start()
    return server


def _announce_machine(session: Session) -> bool:
    """Say what computes; ``False`` when the device is not known before the model is loaded."""
    known: bool = session.service.facts.device != LOOKING.to_json()
    if known:
        _announce_device(session)
    say_fact("CPU variant", session.variant.name, ", ".join(session.variant.features))
    say_fact("Threads", str(session.threads.count), session.threads.why)
    return known


def _announce_device(session: Session) -> None:
    facts = session.service.facts
    say_fact("Device", facts.device["name"], facts.device["why"])


def _announce_service(listener: Listener, context: ContextChoice, history: History) -> None:
    status = history.status()
    say_fact("Context", f"{context.size_tokens:,} tokens", context.why)
    say_fact("Address", listener.address, listener.why)
    say_fact("Chats", status.path or "not kept", status.why)
    say("Press Ctrl-C to quit.")


def _wait_for_model(session: Session, stop: StopSignal) -> bool:
    """Wait until the model is loaded; ``False`` when told to stop. Raises the error when loading failed."""
    started_s = time.monotonic()
    while True:
        status = session.engine.wait_loaded(POLL_S)
        if status.state == "ready":
            _LOG.info("the model is loaded after %.2f s", time.monotonic() - started_s)
            return True
        if stop.wait(0):
            return False
        if status.error is not None:
            raise status.error


def _tell_times(timings: Timings) -> None:
    timings.event("ready")
    timings.tell()


def _open_page_once(session: Session, address: str, settings: Settings, environ: Mapping[str, str]) -> None:
    if not session.recovery.page_is_open:
        open_browser(address, settings, environ)
    session.recovery.page_is_open = True


def open_browser(address: str, settings: Settings, environ: Mapping[str, str]) -> None:
    """Open the page where that is wanted and can be seen."""
    if settings.browser and has_display(environ) and not open_page(address, environ):
        _LOG.info("no browser was found to open %s", address)


def _shut_down(session: Session, server: WebServer) -> None:
    """Stop generating, let the last answers go out, close the server: two seconds at most."""
    session.recovery.ending()
    session.engine.stop(STOP_TIMEOUT_S)
    time.sleep(ANSWER_GRACE_S)
    server.close(ANSWER_GRACE_S)
