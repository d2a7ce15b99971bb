"""A chat reply as it comes: text, reasoning and tool calls, told apart by llama.cpp's parser as the text grows.

It knows the engine's events and the parser, not HTTP.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runtime.chat_library import ChatLibraryError
from runtime.engine.sequence import Event, Failed, Finished, TextDelta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.chat_library import NativeParser
    from runtime.chat_template import ChatPlan
    from runtime.engine.logprobs import TokenLogprobs
    from runtime.engine.sequence import RequestHandle

PARSES_PER_LENGTH = 4096
"""A reply of n characters is read anew when n / 4096 more are there, so that long ones cost no more a token."""


@dataclass(frozen=True, kw_only=True)
class ReasoningDelta:
    """More of what the model thinks before it answers; never empty."""

    text: str
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ToolCallStart:
    """The reply calls a tool; ``index`` counts the calls of the reply."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class ToolCallDelta:
    """More of the JSON text of a call's arguments; never empty."""

    index: int
    arguments: str


ChatEvent = Event | ReasoningDelta | ToolCallStart | ToolCallDelta


class ReplyReader:
    """Turns the text of one reply into events."""

    def __init__(self, parser: NativeParser) -> None:
        """Read with ``parser``."""
        self._parser = parser
        self._raw: list[str] = []
        self._pending = ""
        self._length = 0
        self._shown = ""
        self._has_shown_more = False
        self._unnamed: dict[int, tuple[str, str]] = {}
        self._started: set[int] = set()
        self._with_arguments: set[int] = set()

    def push(self, text: str) -> list[ChatEvent]:
        """Add text of the reply and return what it means, as far as that is certain."""
        self._raw.append(text)
        self._pending += text
        self._length += len(text)
        if len(self._pending) <= self._length // PARSES_PER_LENGTH:
            return []
        return self._read(is_final=False)

    def finish(self) -> list[ChatEvent]:
        """Return the rest once the reply is complete. A reply that has not the form of its format is plain text."""
        events = self._read(is_final=True)
        for index in sorted(self._unnamed):
            events += self._start(index)
        events += [ToolCallDelta(index=index, arguments="{}") for index in sorted(self._started - self._with_arguments)]
        return events

    def _read(self, *, is_final: bool) -> list[ChatEvent]:
        text, self._pending = self._pending, ""
        try:
            answer = self._parser.push(text, is_final=is_final)
        except ChatLibraryError:
            # Too deeply nested, or too large: whatever was certain so far stays.
            answer = {"deltas": [], "unparsed": is_final}
        events: list[ChatEvent] = []
        for delta in answer["deltas"]:
            events += self._events(delta)
        if answer["unparsed"]:
            events += self._rest_as_text()
        return events

    def _events(self, delta: dict[str, Any]) -> Iterator[ChatEvent]:
        index = delta.get("tool_call")
        # A name may grow until something else follows it.
        for other in sorted(self._unnamed):
            if other != index or delta["arguments"]:
                if "name" in delta and other == index:
                    self._unnamed[other] = (delta["id"], delta["name"])
                yield from self._start(other)
        if index is None:
            yield from self._text(delta)
            return
        if index not in self._started:
            self._unnamed[index] = (delta.get("id", ""), delta.get("name", ""))
            if delta["arguments"]:
                yield from self._start(index)
        if delta["arguments"]:
            self._with_arguments.add(index)
            yield ToolCallDelta(index=index, arguments=delta["arguments"])

    def _text(self, delta: dict[str, Any]) -> Iterator[ChatEvent]:
        if reasoning := delta.get("reasoning_content"):
            self._has_shown_more = True
            yield ReasoningDelta(text=reasoning)
        if content := delta.get("content"):
            self._shown += content
            yield TextDelta(text=content)

    def _start(self, index: int) -> list[ChatEvent]:
        identity, name = self._unnamed.pop(index)
        self._has_shown_more = True
        self._started.add(index)
        return [ToolCallStart(index=index, id=identity or f"call_{secrets.token_hex(12)}", name=name)]

    def _rest_as_text(self) -> list[ChatEvent]:
        raw = "".join(self._raw)
        if self._has_shown_more or not raw.startswith(self._shown) or len(raw) == len(self._shown):
            return []
        return [TextDelta(text=raw[len(self._shown) :])]


class ChatHandle:
    """The owner's side of a chat request, like :class:`RequestHandle` but with :data:`ChatEvent`."""

    def __init__(self, handle: RequestHandle, plan: ChatPlan, *, max_tool_calls: int | None = None) -> None:
        """Read the reply of ``handle`` as ``plan`` says; it ends before it calls more than ``max_tool_calls``."""
        self._handle = handle
        self._reader = ReplyReader(plan.reply_format.open()) if plan.reply_format else None
        self._max_tool_calls = max_tool_calls
        self._events: deque[ChatEvent] = deque()
        self._logprobs: list[TokenLogprobs] = []
        self._is_cut = False

    def poll(self, timeout_s: float) -> ChatEvent | None:
        """Return the next event, or ``None`` when none came within ``timeout_s``."""
        if not self._events:
            event = self._handle.poll(timeout_s)
            if event is not None:
                self._take(event)
        return self._events.popleft() if self._events else None

    def events(self) -> Iterator[ChatEvent]:
        """Yield events up to the last one; leaving the loop early cancels the request."""
        for event in self._handle.events():
            self._take(event)
            while self._events:
                yield self._events.popleft()

    def cancel(self) -> None:
        """Ask the engine to stop working on this request."""
        self._handle.cancel()

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._handle.cancelled

    def _take(self, event: Event) -> None:
        reader = self._reader
        if reader is None or isinstance(event, Failed):
            self._events.append(event)
        elif isinstance(event, TextDelta):
            self._logprobs += event.logprobs
            if not self._is_cut:
                self._add(reader.push(event.text))
        else:
            if not self._is_cut:
                self._add(reader.finish())
            if self._is_cut and event.reason == "cancelled":
                event = replace(event, reason="stop")
            if self._logprobs:
                self._events.append(TextDelta(text="", logprobs=self._take_logprobs()))
            self._events.append(event)

    def _add(self, events: list[ChatEvent]) -> None:
        for event in events:
            too_many = isinstance(event, ToolCallStart) and event.index == self._max_tool_calls
            if too_many:
                self._is_cut = True
                self._handle.cancel()
                return
            if isinstance(event, TextDelta | ReasoningDelta):
                event = replace(event, logprobs=self._take_logprobs())
            self._events.append(event)

    def _take_logprobs(self) -> tuple[TokenLogprobs, ...]:
        taken, self._logprobs = tuple(self._logprobs), []
        return taken


def is_last(event: ChatEvent) -> bool:
    """Tell whether nothing follows an event."""
    return isinstance(event, Finished | Failed)
