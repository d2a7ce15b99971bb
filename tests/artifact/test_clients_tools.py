"""Tools through the official clients and LangChain, against the packed demonstration model.

That model was never taught to call tools: a call that is required or named is made by the grammar alone, so it is well
formed whatever the model would rather say.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import anthropic
import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.program import Server

MODEL = "any"
QUESTION = "How warm is it in Oslo?"
PLACE: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"enum": ["Oslo", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells the weather.", "parameters": PLACE},
}
CLOCK: Any = {
    "type": "function",
    "function": {"name": "clock", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}},
}
NAMED: Any = {"type": "function", "function": {"name": "weather"}}
LIMIT = 400


@pytest.fixture(scope="module")
def client(demo_server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{demo_server.address}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def claude(demo_server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=demo_server.address, api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def langchain(demo_server: Server) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=f"{demo_server.address}/v1", api_key=SecretStr("none"), model=MODEL, temperature=0, max_retries=0
    )


def check_place(arguments: Any) -> None:
    assert set(arguments) == {"city", "days"}
    assert arguments["city"] in {"Oslo", "Rome"}
    assert type(arguments["days"]) is int
    assert 1 <= arguments["days"] <= 9


def asked() -> list[Any]:
    return [{"role": "user", "content": QUESTION}]


def test_a_named_tool_is_called(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model=MODEL, messages=asked(), tools=[CLOCK, WEATHER], tool_choice=NAMED, max_tokens=LIMIT
    )
    (choice,) = reply.choices
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls or []
    assert call.type == "function"
    assert call.id
    assert call.function.name == "weather"
    check_place(json.loads(call.function.arguments))


def test_some_tool_is_called_when_one_is_required(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model=MODEL,
        messages=asked(),
        tools=[CLOCK, WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=LIMIT,
    )
    (call,) = reply.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name in {"clock", "weather"}
    json.loads(call.function.arguments)


def test_no_tool_is_called_when_none_may_be(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model=MODEL, messages=asked(), tools=[WEATHER], tool_choice="none", max_tokens=40
    )
    assert not reply.choices[0].message.tool_calls
    assert reply.choices[0].message.content


def test_a_streamed_call_is_the_whole_call(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=asked(), tools=[WEATHER], tool_choice=NAMED, max_tokens=LIMIT, temperature=0
    ) as stream:
        chunks = [event.chunk for event in stream if event.type == "chunk"]
        final = stream.get_final_completion().choices[0]
    pieces = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert len({piece.index for piece in pieces}) == 1
    assert [piece.id for piece in pieces if piece.id] == [pieces[0].id]
    text = "".join(piece.function.arguments or "" for piece in pieces if piece.function)
    check_place(json.loads(text))
    assert final.finish_reason == "tool_calls"
    (call,) = final.message.tool_calls or []
    assert call.function.arguments == text


def test_a_tool_result_is_answered(client: openai.OpenAI) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    messages: Any = [
        *asked(),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
    ]
    reply = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER], tool_choice="none")
    assert reply.choices[0].message.content


def test_wrong_tools_are_refused(client: openai.OpenAI) -> None:
    for fields in (
        {"tools": [{"type": "function", "function": {"name": "no spaces"}}]},
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "clock"}}},
        {"tools": [{"type": "function"}]},
    ):
        with pytest.raises(openai.BadRequestError) as raised:
            client.chat.completions.create(model=MODEL, messages=asked(), **fields)  # type: ignore[call-overload]
        assert (raised.value.param or "").startswith("tool")


def test_a_response_calls_a_tool(client: openai.OpenAI) -> None:
    flat: Any = {"type": "function", "name": "weather", "parameters": PLACE, "strict": True}
    reply = client.responses.create(
        model=MODEL, input=QUESTION, tools=[flat], tool_choice={"type": "function", "name": "weather"}
    )
    (call,) = [item for item in reply.output if item.type == "function_call"]
    assert call.name == "weather"
    assert call.call_id
    check_place(json.loads(call.arguments))
    turns: Any = [
        {"role": "user", "content": QUESTION},
        {"type": "function_call", "call_id": call.call_id, "name": "weather", "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"},
    ]
    assert client.responses.create(model=MODEL, input=turns, tools=[flat], tool_choice="none").output_text


def test_a_streamed_response_calls_a_tool(client: openai.OpenAI) -> None:
    flat: Any = {"type": "function", "name": "weather", "parameters": PLACE, "strict": True}
    with client.responses.stream(model=MODEL, input=QUESTION, tools=[flat], tool_choice="required") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.function_call_arguments.delta")
        final = stream.get_final_response()
    (call,) = [item for item in final.output if item.type == "function_call"]
    assert call.arguments == text
    check_place(json.loads(text))


CLAUDE_TOOL: Any = {"name": "weather", "description": "Tells the weather.", "input_schema": PLACE}


def test_a_message_uses_a_tool(claude: anthropic.Anthropic) -> None:
    message = claude.messages.create(
        model=MODEL,
        max_tokens=LIMIT,
        messages=asked(),
        tools=[CLAUDE_TOOL],
        tool_choice={"type": "tool", "name": "weather"},
    )
    assert message.stop_reason == "tool_use"
    (use,) = [block for block in message.content if block.type == "tool_use"]
    assert use.name == "weather"
    assert use.id
    check_place(use.input)
    turns: Any = [
        *asked(),
        {"role": "assistant", "content": [use.model_dump(include={"type", "id", "name", "input"})]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "21 degrees"}]},
    ]
    answer = claude.messages.create(
        model=MODEL, max_tokens=40, messages=turns, tools=[CLAUDE_TOOL], tool_choice={"type": "none"}
    )
    assert [block.type for block in answer.content] == ["text"]


def test_a_streamed_message_uses_a_tool(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(
        model=MODEL, max_tokens=LIMIT, messages=asked(), tools=[CLAUDE_TOOL], tool_choice={"type": "any"}
    ) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use"
    (use,) = [block for block in final.content if block.type == "tool_use"]
    check_place(use.input)
    assert json.loads("".join(pieces)) == use.input


@tool
def weather(city: Literal["Oslo", "Rome"], days: int) -> str:
    """Tell the weather of a city."""
    return f"{city}: 21 degrees for {days} days"


class Verdict(BaseModel):
    """What a reply is made to be."""

    answer: Literal["yes", "no"]
    sure: bool


def test_langchain_binds_tools(langchain: ChatOpenAI) -> None:
    bound = langchain.bind_tools([weather], tool_choice="weather")
    reply = bound.invoke(QUESTION)
    assert isinstance(reply, AIMessage)
    (call,) = reply.tool_calls
    assert call["name"] == "weather"
    assert call["args"]["city"] in {"Oslo", "Rome"}
    result = weather.invoke(call)
    assert isinstance(result, ToolMessage)
    free = langchain.bind_tools([weather], tool_choice="none")
    assert free.invoke([HumanMessage(QUESTION), reply, result]).text


def test_langchain_streams_tool_calls(langchain: ChatOpenAI) -> None:
    bound = langchain.bind_tools([weather], tool_choice="any")
    whole: AIMessageChunk | None = None
    for piece in bound.stream(QUESTION):
        assert isinstance(piece, AIMessageChunk)
        whole = piece if whole is None else whole + piece
    assert whole is not None
    (call,) = whole.tool_calls
    assert call["name"] == "weather"
    assert set(call["args"]) == {"city", "days"}


def test_langchain_structured_output_by_a_tool(langchain: ChatOpenAI) -> None:
    found = langchain.with_structured_output(Verdict, method="function_calling").invoke(QUESTION)
    assert isinstance(found, Verdict)
