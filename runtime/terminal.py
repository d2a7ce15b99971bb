"""The terminal modes: one answer on standard output, or a chat line by line."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, TextIO

from runtime.chat_reply import ReasoningDelta
from runtime.devices.choice import AUTO, OFF, plain_choice
from runtime.engine.sequence import Failed, Finished, TextDelta
from runtime.report import say

if TYPE_CHECKING:
    from runtime.chat_reply import ChatHandle
    from runtime.chat_template import Message
    from runtime.engine.sequence import RequestHandle
    from runtime.session import Session

POLL_S = 0.1
YOU = "> "


def wait_for_model(session: Session, stream: TextIO | None = None) -> None:
    """Start the engine and wait, showing progress when ``stream`` is a terminal. Raises the loading error."""
    target = stream or sys.stderr
    shows = target.isatty()
    session.engine.start()
    while (status := session.engine.wait_loaded(POLL_S)).state == "loading":
        if shows:
            say(f"\rloading the model: {status.progress:.0%}", target, end="")
    # From here on starting again would say things twice.
    session.recovery.may_restart = False
    if shows:
        say("\r\x1b[K", target, end="")
    if status.error is not None:
        raise status.error
    device = session.service.facts.device
    is_asked_for = plain_choice(session.service.settings.gpu) not in {AUTO, OFF}
    if is_asked_for and device["backend"] == "cpu" and not session.trouble:
        say(f"The CPU computes: {device['why']}", target)


def answer_once(session: Session, prompt: str, *, raw: bool, token_ids: bool) -> None:
    """Print the answer to ``prompt`` (``raw``: its continuation), or with ``token_ids`` its tokens as a JSON list."""
    from runtime.chat_service import ChatRequest

    wait_for_model(session)
    service = session.service
    handle: RequestHandle | ChatHandle
    if raw:
        handle = service.start_completion(prompt)
    else:
        handle = service.start_chat(ChatRequest(messages=({"role": "user", "content": prompt},)))
    finished = _show(handle, sys.stderr if token_ids else sys.stdout, quiet=token_ids)
    say(json.dumps(list(finished.token_ids)) if token_ids else "")


def _show(handle: RequestHandle | ChatHandle, stream: TextIO, *, quiet: bool = False) -> Finished:
    """Print a reply as it comes. Raises the error of a request that failed; Ctrl-C cancels it and goes on up."""
    for event in handle.events():
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Finished):
            return event
        if isinstance(event, ReasoningDelta) and not quiet:
            _show_reasoning(event)
        if isinstance(event, TextDelta) and not quiet:
            say(event.text, stream, end="")
    raise RuntimeError("a reply ended without its last event")


def _show_reasoning(event: ReasoningDelta) -> None:
    """Print thoughts dimly on standard error, where they are out of the way of the answer, for people only."""
    if sys.stderr.isatty():
        say(f"\x1b[2m{event.text}\x1b[22m", sys.stderr, end="")


def chat(session: Session) -> None:
    """Chat until Ctrl-D; Ctrl-C stops a reply."""
    wait_for_model(session)
    settings = session.service.settings
    say(f"{settings.title or session.service.facts.model_name} - Ctrl-C stops a reply, Ctrl-D ends the chat.")
    if settings.greeting:
        say(settings.greeting)
    messages: list[Message] = []
    while (line := _read_line()) is not None:
        if not line.strip():
            continue
        messages.append({"role": "user", "content": line})
        reply = _reply(session, messages)
        if reply is None:
            messages.pop()
        else:
            messages.append({"role": "assistant", "content": reply})


def _read_line() -> str | None:
    """Read a line of the user's; ``None`` at the end of input."""
    while True:
        try:
            return input(YOU)
        except EOFError:
            say()
            return None
        except KeyboardInterrupt:
            say("\n(Ctrl-D ends the chat)")


def _reply(session: Session, messages: list[Message]) -> str | None:
    """Print the reply and return its text, as far as it came; ``None`` when it failed."""
    from packer.errors import PackerError
    from runtime.chat_service import ChatRequest

    texts: list[str] = []
    try:
        handle = session.service.start_chat(ChatRequest(messages=tuple(messages)))
        try:
            for event in handle.events():
                if isinstance(event, Failed):
                    raise event.error
                if isinstance(event, ReasoningDelta):
                    _show_reasoning(event)
                if isinstance(event, TextDelta):
                    texts.append(event.text)
                    say(event.text, end="")
        except KeyboardInterrupt:
            handle.cancel()
            say(" (stopped)", end="")
    except PackerError as error:
        say(f"error: {error}", sys.stderr)
        return None
    say()
    return "".join(texts)
