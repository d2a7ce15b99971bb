"""Tools and reasoning in the three chat APIs: a scripted reply, read by llama.cpp's parser for a known template."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from runtime.chat_template import ChatOptions, ChatTemplate

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from packer.toolchain.llama_cpp import BuildTools
    from runtime.chat_library import ChatLibrary
    from tests.support.encoder import ByteEncoder

REPLY = b'<think>\nhm\n</think>\n\nSee:\n<tool_call>\n{"name": "look", "arguments": {"place": "here"}}\n</tool_call>'
SECOND = b'\n<tool_call>\n{"name": "look", "arguments": {"place": "there"}}\n</tool_call>'
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}}
FUNCTION = {"name": "look", "description": "Looks.", "parameters": SCHEMA}
TOOL = {"type": "function", "function": FUNCTION}
HI = [{"role": "user", "content": "hi"}]
LARGE = {"context_tokens": 512, "batch_tokens": 64}


@pytest.fixture(scope="session")
def template(chat_library: ChatLibrary, build_tools: BuildTools) -> ChatTemplate:
    path = build_tools.sources.llama_cpp / "models" / "templates" / "Qwen-Qwen3-0.6B.jinja"
    return ChatTemplate(path.read_text(encoding="utf-8"), library=chat_library)


@pytest.fixture
def tool_client(client: FlaskClient, encoder: ByteEncoder, template: ChatTemplate) -> FlaskClient:
    """A client whose replies are read as those of the template; the scripted model needs no grammar to keep to it."""
    plan = template.plan(HI, ChatOptions(tools=(TOOL,)))
    encoder.plan = replace(plan, grammar=None, lazy=None, shown_tokens=())
    return client


def with_reply(reply: bytes) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("runner", [{**LARGE, "reply": reply}], indirect=True)


def chat(client: FlaskClient, **fields: Any) -> TestResponse:
    answer = client.post("/v1/chat/completions", json={"messages": HI, "tools": [TOOL], **fields})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer


def events(answer: TestResponse) -> list[dict[str, Any]]:
    lines = answer.get_data(as_text=True).splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]


@with_reply(REPLY)
def test_a_chat_completion_with_a_call(tool_client: FlaskClient) -> None:
    (choice,) = chat(tool_client).get_json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert message["reasoning_content"].strip() == "hm"
    assert message["content"].strip() == "See:"
    (call,) = message["tool_calls"]
    assert call["type"] == "function"
    assert call["id"].startswith("call_")
    assert call["function"]["name"] == "look"
    assert json.loads(call["function"]["arguments"]) == {"place": "here"}


@with_reply(REPLY)
def test_a_call_that_is_cut_off(tool_client: FlaskClient) -> None:
    (choice,) = chat(tool_client, max_tokens=len(REPLY) - 20).get_json()["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"].startswith("{")


@with_reply(REPLY)
def test_a_streamed_chat_completion_with_a_call(tool_client: FlaskClient) -> None:
    chunks = events(chat(tool_client, stream=True))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas).strip() == "hm"
    assert "".join(delta.get("content") or "" for delta in deltas).strip() == "See:"
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert {call["index"] for call in calls} == {0}
    assert calls[0]["function"] == {"name": "look", "arguments": ""}
    assert all("name" not in call["function"] for call in calls[1:])
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"place": "here"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@with_reply(REPLY + SECOND)
def test_parallel_calls(tool_client: FlaskClient) -> None:
    (choice,) = chat(tool_client).get_json()["choices"]
    found = [json.loads(call["function"]["arguments"])["place"] for call in choice["message"]["tool_calls"]]
    assert found == ["here", "there"]
    (choice,) = chat(tool_client, parallel_tool_calls=False).get_json()["choices"]
    assert len(choice["message"]["tool_calls"]) == 1
    assert choice["finish_reason"] == "tool_calls"


@with_reply(REPLY)
def test_tokens_of_thoughts_are_counted(tool_client: FlaskClient) -> None:
    whole = chat(tool_client).get_json()
    thought = whole["choices"][0]["message"]["reasoning_content"]
    assert whole["usage"]["completion_tokens_details"] == {"reasoning_tokens": len(thought)}
    streamed = events(chat(tool_client, stream=True, stream_options={"include_usage": True}))
    assert streamed[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": len(thought)}


def test_what_is_asked_reaches_the_template(client: FlaskClient, encoder: ByteEncoder) -> None:
    named = {"type": "function", "function": {"name": "look"}}
    chat(client, tool_choice=named, parallel_tool_calls=False, reasoning_effort="low", chat_template_kwargs={"x": 1})
    options = encoder.options[-1]
    assert options is not None
    assert (options.tool_choice, options.only_tool, options.parallel_tool_calls) == ("required", "look", False)
    assert options.tools == (TOOL,)
    assert options.variables == {"x": 1, "reasoning_effort": "low"}
    chat(client, tool_choice="none", reasoning_effort="none")
    options = encoder.options[-1]
    assert options is not None
    assert not options.may_call
    assert not options.enable_thinking


def test_messages_of_a_chat_keep_calls_and_results(client: FlaskClient, encoder: ByteEncoder) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    said = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]}
    chat(client, messages=[*HI, said, {"role": "tool", "tool_call_id": "c1", "content": "a cat"}])
    assert encoder.seen[-1][1:] == [
        {**said, "content": ""},
        {"role": "tool", "content": "a cat", "tool_call_id": "c1", "name": "look"},
    ]


# --- Anthropic's API ---------------------------------------------------------------------------------------------

CLAUDE_TOOL = {"name": "look", "description": "Looks.", "input_schema": SCHEMA}


def message(client: FlaskClient, **fields: Any) -> TestResponse:
    body = {"messages": HI, "tools": [CLAUDE_TOOL], "max_tokens": 300, **fields}
    answer = client.post("/v1/messages", json=body)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer


@with_reply(REPLY)
def test_a_message_with_thinking_and_tool_use(tool_client: FlaskClient) -> None:
    body = message(tool_client).get_json()
    thinking, text, use = body["content"]
    assert (thinking["type"], thinking["thinking"].strip()) == ("thinking", "hm")
    assert (text["type"], text["text"].strip()) == ("text", "See:")
    assert (use["type"], use["name"], use["input"]) == ("tool_use", "look", {"place": "here"})
    assert (body["stop_reason"], body["stop_sequence"]) == ("tool_use", None)


@with_reply(REPLY + SECOND)
def test_a_streamed_message_with_thinking_and_tool_use(tool_client: FlaskClient) -> None:
    found = events(message(tool_client, stream=True))
    starts = [event["content_block"]["type"] for event in found if event["type"] == "content_block_start"]
    assert starts == ["thinking", "text", "tool_use", "tool_use"]
    stops = [event["index"] for event in found if event["type"] == "content_block_stop"]
    assert stops == [0, 1, 2, 3]
    parts = [event for event in found if event["type"] == "content_block_delta"]
    assert [part["index"] for part in parts] == sorted(part["index"] for part in parts)
    pieces = [part["delta"]["partial_json"] for part in parts if part["index"] == 3]
    assert json.loads("".join(pieces)) == {"place": "there"}
    assert found[-2]["delta"]["stop_reason"] == "tool_use"


@with_reply(b"one two STOP three")
def test_a_stop_sequence_is_named(client: FlaskClient) -> None:
    body = message(client, stop_sequences=["STOP"]).get_json()
    assert (body["stop_reason"], body["stop_sequence"]) == ("stop_sequence", "STOP")
    assert body["content"] == [{"type": "text", "text": "one two "}]
    assert message(client).get_json()["stop_reason"] == "end_turn"
    last = events(message(client, stop_sequences=["STOP"], stream=True))[-2]
    assert last["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "STOP"}


def test_blocks_of_a_message_become_messages(client: FlaskClient, encoder: ByteEncoder) -> None:
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {"place": "é"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "a cat"}]}
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    turns = [
        *HI,
        {"role": "assistant", "content": [thought, {"type": "text", "text": "See:"}, use]},
        {"role": "user", "content": [result, {"type": "text", "text": "and?"}]},
    ]
    message(client, messages=turns, tool_choice={"type": "any", "disable_parallel_tool_use": True})
    _hi, said, seen, asked = encoder.seen[-1]
    assert (said["content"], said["reasoning_content"]) == ("See:", "hm")
    assert said["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"place": "é"}'}
    assert seen == {"role": "tool", "content": "a cat", "tool_call_id": "t1", "name": "look"}
    assert asked == {"role": "user", "content": "and?"}
    options = encoder.options[-1]
    assert options is not None
    assert (options.tool_choice, options.parallel_tool_calls) == ("required", False)
    assert options.tools == (TOOL,)
    message(client, thinking={"type": "disabled"})
    assert encoder.options[-1] is not None
    assert not encoder.options[-1].enable_thinking


# --- OpenAI's responses ------------------------------------------------------------------------------------------

FLAT_TOOL = {"type": "function", **FUNCTION}


def respond(client: FlaskClient, **fields: Any) -> TestResponse:
    answer = client.post("/v1/responses", json={"input": "hi", "tools": [FLAT_TOOL], **fields})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer


@with_reply(REPLY)
def test_a_response_with_a_call(tool_client: FlaskClient) -> None:
    body = respond(tool_client).get_json()
    reasoning, said, call = body["output"]
    assert reasoning["content"][0]["text"].strip() == "hm"
    assert said["content"][0]["text"].strip() == "See:"
    assert (call["type"], call["name"], call["status"]) == ("function_call", "look", "completed")
    assert json.loads(call["arguments"]) == {"place": "here"}
    assert body["tools"][0]["name"] == "look"
    thought = reasoning["content"][0]["text"]
    assert body["usage"]["output_tokens_details"] == {"reasoning_tokens": len(thought)}


@with_reply(REPLY)
def test_a_streamed_response_with_a_call(tool_client: FlaskClient) -> None:
    found = events(respond(tool_client, stream=True))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    added = [event["item"]["type"] for event in found if event["type"] == "response.output_item.added"]
    assert added == ["reasoning", "message", "function_call"]
    done = [event["output_index"] for event in found if event["type"] == "response.output_item.done"]
    assert done == [0, 1, 2]
    pieces = [event["delta"] for event in found if event["type"] == "response.function_call_arguments.delta"]
    (last,) = [event for event in found if event["type"] == "response.function_call_arguments.done"]
    assert json.loads("".join(pieces)) == json.loads(last["arguments"]) == {"place": "here"}
    assert found[-1]["type"] == "response.completed"
    whole = respond(tool_client).get_json()
    assert [item["type"] for item in found[-1]["response"]["output"]] == [item["type"] for item in whole["output"]]
    assert found[-1]["response"]["usage"]["output_tokens_details"] == whole["usage"]["output_tokens_details"]


@with_reply(REPLY)
def test_log_probabilities_of_thoughts_are_not_those_of_the_text(tool_client: FlaskClient) -> None:
    fields = {"include": ["message.output_text.logprobs"]}
    _, said, _ = respond(tool_client, **fields).get_json()["output"]
    tokens = "".join(entry["token"] for entry in said["content"][0]["logprobs"])
    assert "hm" not in tokens
    assert "See:" in tokens
    found = events(respond(tool_client, **fields, stream=True))
    (streamed,) = [item for item in found[-1]["response"]["output"] if item["type"] == "message"]
    assert streamed["content"][0]["logprobs"] == said["content"][0]["logprobs"]


def test_items_of_the_input_become_messages(client: FlaskClient, encoder: ByteEncoder) -> None:
    items = [
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "See:"}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "unused"}]},
    ]
    respond(client, input=items, tool_choice={"type": "function", "name": "look"}, reasoning={"effort": "high"})
    _hi, said, seen = encoder.seen[-1]
    assert (said["content"], said["reasoning_content"]) == ("See:", "hm")
    assert [call["id"] for call in said["tool_calls"]] == ["c1", "c2"]
    assert seen == {"role": "tool", "content": "a cat", "tool_call_id": "c1", "name": "look"}
    options = encoder.options[-1]
    assert options is not None
    assert options.only_tool == "look"
    assert options.variables == {"reasoning_effort": "high"}
