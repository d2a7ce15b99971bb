"""The terminal modes with the scripted model: one answer, its token ids, a chat of several turns."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from runtime import terminal
from runtime.devices.recovery import unguarded
from runtime.engine.engine import Engine
from runtime.engine.errors import GenerationFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def session(
    runner: Any, encoder: Any, request: pytest.FixtureRequest, service_for: Callable[..., Any]
) -> Iterator[Any]:
    engine = Engine(lambda _progress: runner)
    settings = getattr(request, "param", {})
    yield SimpleNamespace(engine=engine, service=service_for(engine, **settings), recovery=unguarded(), trouble="")
    assert engine.stop(5)


def type_lines(monkeypatch: pytest.MonkeyPatch, *lines: str | type[BaseException]) -> None:
    """Feed ``input`` with lines or exceptions, then end-of-file."""
    left = iter([*lines, EOFError])

    def read(_prompt: str) -> str:
        line = next(left)
        if isinstance(line, str):
            return line
        raise line

    monkeypatch.setattr("builtins.input", read)


def test_one_answer(session: Any, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.answer_once(session, "hi", raw=False, token_ids=False)
    assert capsys.readouterr().out == "hello\n"


@pytest.mark.parametrize("session", [{"system_prompt": "be kind"}], indirect=True)
def test_the_system_prompt_is_used_but_not_for_raw_text(session: Any, encoder: Any) -> None:
    terminal.answer_once(session, "hi", raw=False, token_ids=False)
    assert [message["role"] for message in encoder.seen[0]] == ["system", "user"]


def test_token_ids(session: Any, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.answer_once(session, "hi", raw=True, token_ids=True)
    assert json.loads(capsys.readouterr().out) == [byte + 1 for byte in b"hello"]


def test_a_failure_is_raised(session: Any) -> None:
    with pytest.raises(GenerationFailedError):
        terminal.answer_once(session, "bad!", raw=False, token_ids=False)


def test_a_chat_remembers(
    session: Any, encoder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    type_lines(monkeypatch, "one", "  ", KeyboardInterrupt, "two")
    terminal.chat(session)
    assert [message["content"] for message in encoder.seen[-1]] == ["one", "hello", "two"]
    output = capsys.readouterr().out
    assert output.count("hello\n") == 2
    assert "Ctrl-D ends the chat" in output


def test_a_failed_turn_is_forgotten(
    session: Any, encoder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    type_lines(monkeypatch, "bad!", "good")
    terminal.chat(session)
    assert [message["content"] for message in encoder.seen[-1]] == ["good"]
    assert "error: " in capsys.readouterr().err


def test_ctrl_c_stops_a_reply_and_keeps_what_came(
    session: Any, runner: Any, encoder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []
    say = terminal.say

    def interrupt_after_two(text: str = "", *rest: Any, **more: Any) -> None:
        say(text, *rest, **more)
        shown.append(text)
        if shown[-2:] == ["h", "e"]:
            runner.reply = b"again"
            raise KeyboardInterrupt

    monkeypatch.setattr(terminal, "say", interrupt_after_two)
    type_lines(monkeypatch, "one", "two")
    terminal.chat(session)
    assert [message["content"] for message in encoder.seen[-1]] == ["one", "he", "two"]
    assert "he (stopped)\n" in capsys.readouterr().out
