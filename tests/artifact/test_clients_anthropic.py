"""Anthropic's official Python client against the packed demonstration model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import pytest

from tests.support.crowd import ask_beside_crowds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anthropic.types import Message, MessageParam

    from tests.support.program import Server

MODEL = "any"
ASKED: list[MessageParam] = [{"role": "user", "content": "How do I pack my own model?"}]
LIMIT = 200


@pytest.fixture(scope="module")
def client(demo_server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=demo_server.address, api_key="none", max_retries=0) as made:
        yield made


def text_of(message: Message) -> str:
    assert [block.type for block in message.content] == ["text"]
    return "".join(block.text for block in message.content if block.type == "text")


def num_prompt_tokens(message: Message) -> int:
    return message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)


def test_a_message(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=LIMIT, messages=ASKED)
    assert "packer build" in text_of(message)
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.usage.output_tokens > 4


def test_a_message_that_is_cut(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=3, messages=ASKED)
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 3


def test_a_stop_sequence_is_named(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model=MODEL, max_tokens=LIMIT, messages=ASKED, stop_sequences=["unlikely", "build"]
    )
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "build")
    assert text_of(message).endswith("packer ")


def test_a_streamed_message(client: anthropic.Anthropic) -> None:
    whole = client.messages.create(model=MODEL, max_tokens=LIMIT, messages=ASKED)
    with client.messages.stream(model=MODEL, max_tokens=LIMIT, messages=ASKED) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 4
    assert "".join(pieces) == text_of(final) == text_of(whole)
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert num_prompt_tokens(final) == num_prompt_tokens(whole)


def test_raw_events(client: anthropic.Anthropic) -> None:
    stream = client.messages.create(
        model=MODEL, max_tokens=LIMIT, messages=ASKED, stream=True, stop_sequences=["build"]
    )
    kinds = [event.type for event in stream]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


def test_counted_tokens_are_those_of_the_prompt(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=1, messages=ASKED, system="Be kind.")
    counted = client.messages.count_tokens(model=MODEL, messages=ASKED, system="Be kind.")
    assert counted.input_tokens == num_prompt_tokens(message)
    assert counted.input_tokens > client.messages.count_tokens(model=MODEL, messages=ASKED).input_tokens


def test_turns_and_content_blocks(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model=MODEL,
        max_tokens=LIMIT,
        system=[{"type": "text", "text": "Be kind."}],
        messages=[
            *ASKED,
            {"role": "assistant", "content": [{"type": "text", "text": "With a command."}]},
            {"role": "user", "content": [{"type": "text", "text": "What can you do?"}]},
        ],
    )
    assert text_of(message)


def test_models(client: anthropic.Anthropic) -> None:
    (model,) = client.models.list()
    assert (model.type, model.display_name) == ("model", model.id)
    assert client.models.retrieve(model.id) == model
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-nine")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "word " * 5000}]}, "tokens long"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"thinking": {"type": "perhaps"}}, "thinking"),
    ],
)
def test_bad_requests(client: anthropic.Anthropic, fields: dict[str, Any], word: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as raised:
        client.messages.create(**{"model": MODEL, "max_tokens": LIMIT, "messages": ASKED, **fields})
    assert isinstance(raised.value.body, dict)
    error = raised.value.body["error"]
    assert error["type"] == "invalid_request_error"
    assert word in error["message"]


def test_a_full_queue_is_an_error_that_says_when_to_retry(client: anthropic.Anthropic, demo_server: Server) -> None:
    with pytest.raises(anthropic.InternalServerError) as raised:
        ask_beside_crowds(
            demo_server.address, lambda: client.messages.create(model=MODEL, max_tokens=1, messages=ASKED)
        )
    assert raised.value.status_code == 503
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["error"]["type"] == "overloaded_error"
    assert int(raised.value.response.headers["retry-after"]) > 0
