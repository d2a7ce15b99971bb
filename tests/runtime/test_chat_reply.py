"""Replies told apart: the reader on a scripted parser, the handle on a scripted engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from runtime.chat_library import ChatLibraryError
from runtime.chat_reply import ChatHandle, ReasoningDelta, ReplyReader, ToolCallDelta, ToolCallStart
from runtime.chat_template import ChatPlan
from runtime.engine.sequence import Failed, Finished, RequestHandle, TextDelta, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.chat_library import NativeParser
    from runtime.chat_template import ReplyFormat

Deltas = list[dict[str, Any]]


class ScriptedParser:
    """Answers each text with the deltas that ``script`` has for it, else with the text as content."""

    def __init__(self, script: dict[str, Deltas], last: dict[str, Any] | None = None) -> None:
        self.script = script
        self.last = last or {"deltas": [], "unparsed": False}
        self.texts: list[str] = []

    def push(self, text: str, *, is_final: bool) -> dict[str, Any]:
        self.texts.append(text)
        if "!" in text:
            raise ChatLibraryError("it is nested too deeply", is_limit=True)
        if is_final:
            return self.last
        return {"deltas": self.script.get(text, [{"content": text}]), "unparsed": False}


def reader(parser: ScriptedParser) -> ReplyReader:
    return ReplyReader(cast("NativeParser", parser))


def call(index: int = 0, arguments: str = "", **more: str) -> dict[str, Any]:
    return {"tool_call": index, "arguments": arguments, **({"id": "", **more} if "name" in more else more)}


def read(script: dict[str, Deltas], *texts: str) -> list[Any]:
    one = reader(ScriptedParser(script))
    events = [event for text in texts for event in one.push(text)]
    return events + one.finish()


def test_text_and_reasoning() -> None:
    script: dict[str, Deltas] = {
        "a": [{"reasoning_content": "hm"}],
        "b": [{"reasoning_content": "."}, {"content": "x"}],
    }
    expected = [ReasoningDelta(text="hm"), ReasoningDelta(text="."), TextDelta(text="x")]
    assert read(script, "a", "b") == expected


def test_a_call_starts_when_its_name_is_whole() -> None:
    script = {
        "1": [call(name="get")],
        "2": [call(name="get_it")],
        "3": [call(arguments="{")],
        "4": [call(arguments="}")],
    }
    start, *rest = read(script, *"1234")
    assert (start.index, start.name) == (0, "get_it")
    assert start.id.startswith("call_")
    assert rest == [ToolCallDelta(index=0, arguments="{"), ToolCallDelta(index=0, arguments="}")]


def test_an_id_that_the_model_chose_stays() -> None:
    script = {"1": [call(name="f", id="abc123def", arguments="{}")]}
    assert read(script, "1")[0] == ToolCallStart(index=0, id="abc123def", name="f")


def test_several_calls_have_different_ids() -> None:
    script = {"1": [call(name="f", arguments="{}")], "2": [call(1, name="g")], "3": [call(1, arguments="{}")]}
    events = read(script, *"123")
    starts = [event for event in events if isinstance(event, ToolCallStart)]
    assert [one.name for one in starts] == ["f", "g"]
    assert starts[0].id != starts[1].id


def test_a_call_without_arguments_gets_an_empty_object() -> None:
    events = read({"1": [call(name="f")]}, "1")
    assert isinstance(events[0], ToolCallStart)
    assert events[1:] == [ToolCallDelta(index=0, arguments="{}")]


def test_what_is_not_in_the_format_is_text() -> None:
    one = reader(ScriptedParser({"half": []}, last={"deltas": [], "unparsed": True}))
    assert [*one.push("ab"), *one.push("half"), *one.finish()] == [TextDelta(text="ab"), TextDelta(text="half")]


def test_what_is_not_in_the_format_stays_out_beside_a_call() -> None:
    one = reader(ScriptedParser({"1": [call(name="f", arguments="{")]}, last={"deltas": [], "unparsed": True}))
    assert len([*one.push("1"), *one.push(""), *one.finish()]) == 2


def test_a_limit_of_the_parser_does_not_end_the_reply() -> None:
    one = reader(ScriptedParser({}))
    assert [*one.push("a"), *one.push("!"), *one.push("b"), *one.finish()] == [TextDelta(text="a"), TextDelta(text="b")]


def test_a_long_reply_is_not_read_anew_for_each_token() -> None:
    parser = ScriptedParser({})
    one = reader(parser)
    one.push("x" * 40_960)
    for _ in range(100):
        one.push("y")
    assert len(parser.texts) < 15
    one.finish()
    assert len("".join(parser.texts)) == 41_060


FINISHED = Finished(
    reason="stop",
    usage=Usage(num_prompt_tokens=1, num_generated_tokens=1, num_reused_tokens=0),
    token_ids=(),
)


class ScriptedFormat:
    """A format whose parser follows a script."""

    def __init__(self, script: dict[str, Deltas]) -> None:
        self.parser = ScriptedParser(script)

    def open(self) -> ScriptedParser:
        return self.parser


def plan(script: dict[str, Deltas]) -> ChatPlan:
    return ChatPlan(prompt="", reply_format=cast("ReplyFormat", ScriptedFormat(script)))


@pytest.fixture
def started() -> Callable[..., tuple[RequestHandle, ChatHandle]]:
    def start(script: dict[str, Deltas], **options: Any) -> tuple[RequestHandle, ChatHandle]:
        inner = RequestHandle()
        return inner, ChatHandle(inner, plan(script), **options)

    return start


def test_a_plain_reply_passes_through() -> None:
    inner = RequestHandle()
    handle = ChatHandle(inner, ChatPlan(prompt=""))
    for event in (TextDelta(text="a"), FINISHED):
        inner.put(event)
    assert list(handle.events()) == [TextDelta(text="a"), FINISHED]


def test_polling_gives_one_event_at_a_time(started: Callable[..., tuple[RequestHandle, ChatHandle]]) -> None:
    inner, handle = started({"1": [{"reasoning_content": "r"}, {"content": "c"}]})
    assert handle.poll(0) is None
    inner.put(TextDelta(text="1"))
    inner.put(FINISHED)
    found = [handle.poll(0) for _ in range(4)]
    assert found == [ReasoningDelta(text="r"), TextDelta(text="c"), FINISHED, None]


def test_a_failure_is_the_last_event(started: Callable[..., tuple[RequestHandle, ChatHandle]]) -> None:
    inner, handle = started({})
    failed = Failed(error=RuntimeError("x"))
    inner.put(failed)
    assert list(handle.events()) == [failed]


def test_calls_beyond_the_limit_end_the_reply(started: Callable[..., tuple[RequestHandle, ChatHandle]]) -> None:
    script = {"1": [call(name="f", arguments="{}")], "2": [call(1, name="g", arguments="{}")]}
    inner, handle = started(script, max_tool_calls=1)
    for text in "12":
        inner.put(TextDelta(text=text))
    events = [handle.poll(0) for _ in range(3)]
    assert [type(event) for event in events] == [ToolCallStart, ToolCallDelta, type(None)]
    assert inner.cancelled
    inner.put(TextDelta(text="3"))
    inner.put(Finished(reason="cancelled", usage=FINISHED.usage, token_ids=()))
    last = handle.poll(0)
    last = last or handle.poll(0)
    assert isinstance(last, Finished)
    assert last.reason == "stop"
