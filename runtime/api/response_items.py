"""The items that a model response consists of, whole and as a stream: reasoning, a message, calls of functions.

Source: OpenAI API reference, "The response object" and "Streaming events".
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtime.chat_reply import ReasoningDelta, ToolCallDelta, ToolCallStart
from runtime.engine.sequence import TextDelta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.api.replies import Reply
    from runtime.chat_reply import ChatEvent

StreamEvent = tuple[str, dict[str, Any]]
"""The type of an event and its other fields."""


@dataclass(kw_only=True)
class MessageItem:
    """What the model says."""

    text: str = ""
    id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(16)}")

    def document(self, status: str, *, is_empty: bool = False) -> dict[str, Any]:
        """Return the item, at its beginning without any content."""
        content = [] if is_empty else [self.part()]
        return {"type": "message", "id": self.id, "status": status, "role": "assistant", "content": content}

    def part(self) -> dict[str, Any]:
        """Return the content part."""
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}

    def began(self) -> Iterator[StreamEvent]:
        """Yield what follows the item's own event."""
        yield "response.content_part.added", {"content_index": 0, "part": self.part()}

    def added(self, text: str) -> StreamEvent:
        """Add text."""
        self.text += text
        return "response.output_text.delta", {"content_index": 0, "delta": text, "logprobs": []}

    def done(self) -> Iterator[StreamEvent]:
        """Yield what precedes the item's last event."""
        yield "response.output_text.done", {"content_index": 0, "text": self.text, "logprobs": []}
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


def items_of(reply: Reply) -> list[Item]:
    """Return the items of a whole reply; there is always at least one."""
    items: list[Item] = []
    if reply.reasoning:
        items.append(ReasoningItem(text=reply.reasoning))
    if reply.text or not (items or reply.tool_calls):
        items.append(MessageItem(text=reply.text))
    return [*items, *(CallItem(call_id=one.id, name=one.name, text=one.arguments) for one in reply.tool_calls)]


class ItemStream:
    """The items of a stream; a new one begins when the kind of content changes."""

    def __init__(self) -> None:
        """Begin without items."""
        self.items: list[Item] = []

    def events(self, event: ChatEvent) -> Iterator[StreamEvent]:
        """Yield what an event of the reply adds."""
        if isinstance(event, ToolCallStart):
            yield from self.begin(CallItem(call_id=event.id, name=event.name))
        elif isinstance(event, ToolCallDelta):
            yield self._add(event.arguments)
        elif isinstance(event, ReasoningDelta):
            yield from self._continue(ReasoningItem, event.text)
        elif isinstance(event, TextDelta) and event.text:
            yield from self._continue(MessageItem, event.text)

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

    def _continue(self, kind: type[MessageItem] | type[ReasoningItem], text: str) -> Iterator[StreamEvent]:
        if not self.items or not isinstance(self.items[-1], kind):
            yield from self.begin(kind())
        yield self._add(text)

    def _add(self, text: str) -> StreamEvent:
        item = self.items[-1]
        kind, fields = item.added(text)
        return kind, {"item_id": item.id, "output_index": len(self.items) - 1, **fields}
