"""Server mode from start to end, with the scripted model: the lines it prints, the browser, the ways to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from packer.errors import InputError
from runtime import lifecycle
from runtime.bundle import ModelSource
from runtime.cpu import ThreadChoice
from runtime.devices.recovery import unguarded
from runtime.engine.engine import Engine
from runtime.llama.library import CpuVariant
from runtime.llama.model import ModelFile
from runtime.restart import Restart
from tests.support.program import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = ModelSource(
    file=ModelFile(path=Path("chat.exe"), offset_bytes=65536), name="tiny", context_length=64, description={}
)


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """Put the signal handlers back after each test."""
    saved = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in saved.items():
        signal.signal(number, handler)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, service_for: Callable[..., Any], settings: Callable[..., Any]) -> Any:
    """Runs :func:`lifecycle.serve` around a loader; ``then`` is called with the address once the page is there."""

    def serve(
        load: Callable[..., Any],
        then: Callable[[str], None],
        environ: dict[str, str] | None = None,
        restart: Restart | None = None,
        **changes: Any,
    ) -> int:
        def open_session(*_: Any, version: str, environ: Any, on_quit: Callable[[], None], **_more: Any) -> Any:
            engine = Engine(load)
            service = service_for(engine)
            service._on_quit = on_quit
            return SimpleNamespace(
                engine=engine,
                service=service,
                threads=ThreadChoice(count=2, why="2 physical cores usable"),
                variant=CpuVariant(name="haswell", features=("AVX2",)),
                close=engine.stop,
                recovery=unguarded(),
            )

        announced: list[threading.Thread] = []

        def say(text: str = "", *_: Any, **__: Any) -> None:
            print(text)  # noqa: T201
            if text.startswith("Press"):
                announced.append(threading.Thread(target=then, args=(address[0],)))
                announced[0].start()

        address: list[str] = []
        say_fact = lifecycle.say_fact

        def remember(label: str, value: str, why: str = "") -> None:
            say_fact(label, value, why)
            if label == "Address":
                address.append(value)

        monkeypatch.setattr(lifecycle, "open_session", open_session)
        monkeypatch.setattr(lifecycle, "say", say)
        monkeypatch.setattr(lifecycle, "say_fact", remember)
        try:
            library: Any = None
            chosen = settings(port=0, **changes)
            return lifecycle.serve(library, chosen, SOURCE, version="0.1.0", environ=environ or {}, restart=restart)
        finally:
            for thread in announced:
                thread.join(5)

    return serve


def fetch(address: str, method: str = "GET") -> int:
    with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=5) as answer:
        return int(answer.status)


def wait_ready(address: str) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if fetch(address + "/health") == 200:
                return
        except urllib.error.HTTPError as error:
            error.close()
            time.sleep(0.01)
    raise AssertionError("never became ready")


def test_six_lines_then_the_page_then_quit(run: Any, runner: Any, capsys: pytest.CaptureFixture[str]) -> None:
    statuses: list[int] = []

    def talk(address: str) -> None:
        wait_ready(address)
        statuses.append(fetch(address + "/"))
        statuses.append(fetch(address + "/api/quit", "POST"))

    assert run(lambda _progress: runner, talk) == 0
    assert statuses == [200, 200]
    assert runner.closed
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "Device",
        "CPU variant",
        "Threads",
        "Context",
        "Address",
        "Chats",
        "Press Ctrl-C to quit.",
    ]
    assert lines[2] == "Threads      2  (2 physical cores usable)"
    assert "64 tokens" in lines[3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_within_two_seconds(run: Any, runner: Any, number: int) -> None:
    sent_s: list[float] = []

    def send(address: str) -> None:
        wait_ready(address)
        sent_s.append(time.monotonic())
        os.kill(os.getpid(), number)

    assert run(lambda _progress: runner, send) == 0
    assert time.monotonic() - sent_s[0] < 2
    assert runner.closed


def test_a_signal_ends_loading(run: Any) -> None:
    def load(progress: Callable[[float], bool]) -> Any:
        while progress(0.5):
            time.sleep(0.005)
        raise InputError("loading was aborted")

    assert run(load, lambda _address: os.kill(os.getpid(), signal.SIGINT)) == 0


def test_a_model_that_cannot_be_loaded_ends_the_program(run: Any) -> None:
    def load(_progress: object) -> Any:
        raise InputError("model.gguf: can't be loaded")

    with pytest.raises(InputError, match="can't be loaded"):
        run(load, lambda _address: None)


@pytest.mark.parametrize(
    ("browser", "environ", "opened"),
    [(True, {"DISPLAY": ":0"}, 1), (True, {}, 0), (False, {"DISPLAY": ":0"}, 0)],
)
def test_the_browser_opens_when_there_is_a_display(
    run: Any, runner: Any, monkeypatch: pytest.MonkeyPatch, browser: bool, environ: dict[str, str], opened: int
) -> None:
    pages: list[str] = []
    monkeypatch.setattr(lifecycle, "open_page", lambda url, _environ: pages.append(url))

    def stop_later(address: str) -> None:
        wait_ready(address)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    assert run(lambda _progress: runner, stop_later, environ, browser=browser) == 0
    assert len(pages) == opened
    assert all(page.startswith("http://127.0.0.1:") for page in pages)


@pytest.mark.parametrize(("page_is_open", "opened"), [(True, 0), (False, 1)])
def test_a_program_that_was_started_again_goes_on_where_it_was(
    run: Any, runner: Any, monkeypatch: pytest.MonkeyPatch, page_is_open: bool, opened: int
) -> None:
    pages: list[str] = []
    port, addresses = free_port(), []
    monkeypatch.setattr(lifecycle, "open_page", lambda url, _environ: pages.append(url))

    def stop_later(address: str) -> None:
        addresses.append(address)
        wait_ready(address)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    restart = Restart(trouble="GPU: it crashed", port=port, page_is_open=page_is_open)
    assert run(lambda _progress: runner, stop_later, {"DISPLAY": ":0"}, restart, browser=True) == 0
    assert addresses == [f"http://127.0.0.1:{port}"]
    assert len(pages) == opened
