"""Tools through a packed file, with the official client. Its weights are random: the grammar gives the shape."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.support import program

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def client(packed: object, runtime_cache: object) -> Iterator[openai.OpenAI]:
    launcher = program.Launcher(packed, runtime_cache)  # type: ignore[arg-type]
    with (
        launcher.serving() as server,
        openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0) as made,
    ):
        yield made


PLACE = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Looks.", "parameters": PLACE}}
FIELDS: dict[str, Any] = {
    "model": "any",
    "tools": [TOOL],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "seed": 4,
    "max_tokens": 300,
}
HELLO: Any = {"role": "user", "content": "Hello"}


def check(arguments: str) -> None:
    found = json.loads(arguments)
    assert found["city"] in {"Paris", "Rome"}
    assert found["days"] in range(10)


def test_a_call_its_result_and_an_answer(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(messages=[HELLO], **FIELDS)
    assert reply.choices[0].finish_reason == "tool_calls"
    said = reply.choices[0].message
    assert said.tool_calls is not None
    (call,) = said.tool_calls
    assert call.type == "function"
    assert call.function.name == "get_weather"
    check(call.function.arguments)
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    messages: Any = [HELLO, said.to_dict(), result]
    answer = client.chat.completions.create(
        model="any",
        messages=messages,
        tools=[TOOL],
        tool_choice="none",
        max_tokens=8,  # type: ignore[list-item]
    )
    assert answer.choices[0].message.content
    assert not answer.choices[0].message.tool_calls


def test_a_streamed_call_is_the_same(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(messages=[HELLO], **FIELDS, temperature=0)
    with client.chat.completions.stream(messages=[HELLO], **FIELDS, temperature=0) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in kinds
    expected, found = whole.choices[0].message.tool_calls, final.choices[0].message.tool_calls
    assert expected
    assert found
    assert [call.function.arguments for call in found] == [call.function.arguments for call in expected]  # type: ignore[union-attr]
    check(found[0].function.arguments)
    assert final.choices[0].finish_reason == "tool_calls"


def test_a_response_calls_functions(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "strict": True, **TOOL["function"]}  # type: ignore[dict-item]
    with client.responses.stream(
        model="any", input="Hello", tools=[tool], tool_choice="required", parallel_tool_calls=False
    ) as stream:
        response = [event for event in stream][-1].response  # type: ignore[union-attr]
    (call,) = response.output
    assert call.type == "function_call"
    check(call.arguments)
