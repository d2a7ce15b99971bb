"""The items that a model response consists of, whole and as a stream: reasoning, a message, calls of functions.

Source: OpenAI API reference, "The response object" and "Streaming events".
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtime.api.logprobs import LogprobWriter
from runtime.chat_reply import ReasoningDelta, ToolCallDelta, ToolCallStart
from runtime.engine.sequence import TextDelta

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime.api.replies import Reply
    from runtime.chat_reply import ChatEvent

StreamEvent = tuple[str, dict[str, Any]]
"""The type of an event and its other fields."""


@dataclass(kw_only=True)
class MessageItem:
    """What the model says; ``logprobs`` describe the tokens of the text, if that was asked for."""

    text: str = ""
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(16)}")

    def document(self, status: str, *, is_empty: bool = False) -> dict[str, Any]:
        """Return the item, at its beginning without any content."""
        content = [] if is_empty else [self.part()]
        return {"type": "message", "id": self.id, "status": status, "role": "assistant", "content": content}

    def part(self) -> dict[str, Any]:
        """Return the content part."""
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": list(self.logprobs)}

    def began(self) -> Iterator[StreamEvent]:
        """Yield what follows the item's own event."""
        yield "response.content_part.added", {"content_index": 0, "part": self.part()}

    def added(self, text: str, logprobs: Sequence[dict[str, Any]] = ()) -> StreamEvent:
        """Add text and what describes its tokens."""
        self.text += text
        self.logprobs += logprobs
        fields = {"content_index": 0, "delta": text, "logprobs": LogprobWriter.event(logprobs)}
        return "response.output_text.delta", fields

    def done(self) -> Iterator[StreamEvent]:
        """Yield what precedes the item's last event."""
        described = LogprobWriter.event(self.logprobs)
        yield "response.output_text.done", {"content_index": 0, "text": self.text, "logprobs": described}
        yield "response.content_part.done", {"content_index": 0, "part": self.part()}


@dataclass(kw_only=True)
class ReasoningItem:
    """What the model thinks; this program makes no summaries of it."""

    text: str = ""
    id: str = field(default_factory=lambda: f"rs_{secrets.token_hex(16)}")

    def document(self, status: str, *, is_empty: bool = False) -> dict[str, Any]:
        """Return the item."""
        content = [] if is_empty else [{"type": "reasoning_text", "text": self.text}]
        return {"type": "reasoning", "id": self.id, "status": status, "summary": [], "content": content}

    def began(self) -> Iterator[StreamEvent]:
        """Yield nothing."""
        yield from ()

    def added(self, text: str) -> StreamEvent:
        """Add text."""
        self.text += text
        return "response.reasoning_text.delta", {"content_index": 0, "delta": text}

    def done(self) -> Iterator[StreamEvent]:
        """Yield the whole text."""
        yield "response.reasoning_text.done", {"content_index": 0, "text": self.text}


@dataclass(kw_only=True)
class CallItem:
    """A call of a function; ``text`` are its arguments."""

    call_id: str
    name: str
    text: str = ""
    id: str = field(default_factory=lambda: f"fc_{secrets.token_hex(16)}")

    def document(self, status: str, *, is_empty: bool = False) -> dict[str, Any]:
        """Return the item."""
        arguments = "" if is_empty else self.text
        head = {"type": "function_call", "id": self.id, "status": status}
        return {**head, "call_id": self.call_id, "name": self.name, "arguments": arguments}

    def began(self) -> Iterator[StreamEvent]:
        """Yield nothing."""
        yield from ()

    def added(self, text: str) -> StreamEvent:
        """Add arguments."""
        self.text += text
        return "response.function_call_arguments.delta", {"delta": text}

    def done(self) -> Iterator[StreamEvent]:
        """Yield the whole arguments."""
        yield "response.function_call_arguments.done", {"arguments": self.text, "name": self.name}


Item = MessageItem | ReasoningItem | CallItem


def items_of(reply: Reply, logprobs: LogprobWriter) -> list[Item]:
    """Return the items of a whole reply; there is always at least one."""
    items: list[Item] = []
    if reply.reasoning:
        items.append(ReasoningItem(text=reply.reasoning))
    if reply.text or not (items or reply.tool_calls):
        items.append(MessageItem(text=reply.text, logprobs=logprobs.response(reply.text_logprobs)))
    return [*items, *(CallItem(call_id=one.id, name=one.name, text=one.arguments) for one in reply.tool_calls)]


class ItemStream:
    """The items of a stream; a new one begins when the kind of content changes."""

    def __init__(self, logprobs: LogprobWriter) -> None:
        """Begin without items."""
        self.items: list[Item] = []
        self._logprobs = logprobs

    def events(self, event: ChatEvent) -> Iterator[StreamEvent]:
        """Yield what an event of the reply adds."""
        if isinstance(event, ToolCallStart):
            yield from self.begin(CallItem(call_id=event.id, name=event.name))
        elif isinstance(event, ToolCallDelta):
            yield self._placed(self.items[-1].added(event.arguments))
        elif isinstance(event, ReasoningDelta):
            yield from self._thought(event)
        elif isinstance(event, TextDelta) and event.text:
            yield from self._text(event)

    def begin(self, item: Item) -> Iterator[StreamEvent]:
        """End the last item and begin the next."""
        yield from self.end("completed")
        self.items.append(item)
        place = {"output_index": len(self.items) - 1}
        yield "response.output_item.added", {**place, "item": item.document("in_progress", is_empty=True)}
        for kind, fields in item.began():
            yield kind, {"item_id": item.id, **place, **fields}

    def end(self, status: str) -> Iterator[StreamEvent]:
        """End the last item, if there is one."""
        if not self.items:
            return
        item, place = self.items[-1], {"output_index": len(self.items) - 1}
        for kind, fields in item.done():
            yield kind, {"item_id": item.id, **place, **fields}
        yield "response.output_item.done", {**place, "item": item.document(status)}

    def _thought(self, event: ReasoningDelta) -> Iterator[StreamEvent]:
        last = self.items[-1] if self.items else None
        if not isinstance(last, ReasoningItem):
            last = ReasoningItem()
            yield from self.begin(last)
        yield self._placed(last.added(event.text))

    def _text(self, event: TextDelta) -> Iterator[StreamEvent]:
        last = self.items[-1] if self.items else None
        if not isinstance(last, MessageItem):
            last = MessageItem()
            yield from self.begin(last)
        yield self._placed(last.added(event.text, self._logprobs.response(event.logprobs)))

    def _placed(self, event: StreamEvent) -> StreamEvent:
        """Name the item that an event belongs to, which is the last."""
        kind, fields = event
        return kind, {"item_id": self.items[-1].id, "output_index": len(self.items) - 1, **fields}
