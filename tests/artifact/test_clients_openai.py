"""OpenAI's official Python client against the packed demonstration model."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

import openai
import pytest
from openai.types.responses import ResponseOutputMessage, ResponseOutputText
from pydantic import BaseModel

from tests.support.crowd import Crowd, ask_beside_crowds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletionMessageParam

    from tests.support.program import Server

QUESTION = "How do I pack my own model?"
ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
MODEL = "any"


class Verdict(BaseModel):
    """What a reply is made to be."""

    answer: Literal["yes", "no"]
    sure: bool


@pytest.fixture(scope="module")
def client(demo_server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{demo_server.address}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_a_chat(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0)
    assert "packer build" in (reply.choices[0].message.content or "")
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_repeated_prompt_costs_nothing_but_its_last_token(client: openai.OpenAI) -> None:
    """The reply's first token is chosen from the result of the prompt's last, so that one is always evaluated."""
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "One two three four five six seven eight nine ten."},
        {"role": "user", "content": "What can you do?"},
    ]
    for number_of_time in range(2):
        usage = client.chat.completions.create(model=MODEL, messages=messages, temperature=0).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        if number_of_time == 1:
            assert usage.prompt_tokens_details.cached_tokens == usage.prompt_tokens - 1


def test_a_streamed_chat(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0)
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=ASKED, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_can_be_left(client: openai.OpenAI) -> None:
    with client.chat.completions.create(model=MODEL, messages=ASKED, stream=True) as stream:
        assert next(stream).choices[0].delta.role == "assistant"
    assert client.chat.completions.create(model=MODEL, messages=ASKED, max_tokens=1).choices


def test_several_choices(client: openai.OpenAI) -> None:
    """The model is sure of its answers; only a high temperature without any cut makes them differ."""
    wild = {"min_p": 0, "top_k": 0}
    reply = client.chat.completions.create(
        model=MODEL, messages=ASKED, n=3, temperature=5, top_p=1, seed=5, max_tokens=20, extra_body=wild
    )
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in reply.choices}) > 1


def test_parse_gives_an_object(client: openai.OpenAI) -> None:
    reply = client.chat.completions.parse(model=MODEL, messages=ASKED, response_format=Verdict)
    assert isinstance(reply.choices[0].message.parsed, Verdict)


def test_parse_names_a_reply_that_was_cut(client: openai.OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model=MODEL, messages=ASKED, response_format=Verdict, max_tokens=2)


def test_the_stream_helper_parses_as_well(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=ASKED, response_format=Verdict) as stream:
        kinds = {event.type for event in stream}
        found = stream.get_final_completion().choices[0].message.parsed
    assert kinds >= {"chunk", "content.delta", "content.done"}
    assert isinstance(found, Verdict)


def test_completions(client: openai.OpenAI) -> None:
    reply = client.completions.create(model=MODEL, prompt=["One", "Two"], n=2, max_tokens=3)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    text = client.completions.create(model=MODEL, prompt="One", max_tokens=3, temperature=0).choices[0].text
    pieces = list(client.completions.create(model=MODEL, prompt="One", max_tokens=3, temperature=0, stream=True))
    assert "".join(piece.choices[0].text for piece in pieces) == text


def test_responses(client: openai.OpenAI) -> None:
    reply = client.responses.create(model=MODEL, input=QUESTION, temperature=0)
    assert "packer build" in reply.output_text
    assert reply.status == "completed"
    short = client.responses.create(model=MODEL, input=QUESTION, max_output_tokens=2)
    assert short.status == "incomplete"
    assert short.incomplete_details is not None
    assert short.incomplete_details.reason == "max_output_tokens"


def test_a_streamed_response(client: openai.OpenAI) -> None:
    whole = client.responses.create(model=MODEL, input=QUESTION, temperature=0)
    with client.responses.stream(model=MODEL, input=QUESTION, temperature=0) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == whole.output_text
    assert final.usage is not None
    assert final.usage.output_tokens > 4


def test_a_parsed_response(client: openai.OpenAI) -> None:
    reply = client.responses.parse(model=MODEL, input=QUESTION, text_format=Verdict)
    assert isinstance(reply.output_parsed, Verdict)


def test_models(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert client.models.retrieve(model.id) == model
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-nine'"):
        client.models.retrieve("gpt-nine")


def test_log_probabilities(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0, logprobs=True, top_logprobs=3)
    assert reply.choices[0].logprobs is not None
    assert reply.usage is not None
    tokens = reply.choices[0].logprobs.content or []
    assert len(tokens) == reply.usage.completion_tokens
    assert "".join(token.token for token in tokens) == reply.choices[0].message.content
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token
        assert token.logprob <= 0
    older = client.completions.create(model=MODEL, prompt="One", max_tokens=3, logprobs=2).choices[0].logprobs
    assert older is not None
    assert len(older.tokens or []) == len(older.token_logprobs or []) == 3


def test_log_probabilities_of_a_response(client: openai.OpenAI) -> None:
    reply = client.responses.create(
        model=MODEL, input=QUESTION, temperature=0, include=["message.output_text.logprobs"], top_logprobs=3
    )
    (item,) = reply.output
    assert isinstance(item, ResponseOutputMessage)
    (part,) = item.content
    assert isinstance(part, ResponseOutputText)
    assert "".join(token.token for token in part.logprobs or []) == part.text
    for token in part.logprobs or []:
        assert bytes(token.bytes).decode() == token.token == token.top_logprobs[0].token
        assert len(token.top_logprobs) == 3
        assert token.logprob == token.top_logprobs[0].logprob <= 0
    assert reply.top_logprobs == 3


def test_log_probabilities_of_a_streamed_response(client: openai.OpenAI) -> None:
    with client.responses.stream(
        model=MODEL, input=QUESTION, temperature=0, include=["message.output_text.logprobs"], top_logprobs=1
    ) as stream:
        events = list(stream)
        final = stream.get_final_response()
    streamed = [token for event in events if event.type == "response.output_text.delta" for token in event.logprobs]
    (done,) = [event for event in events if event.type == "response.output_text.done"]
    assert "".join(token.token for token in streamed) == final.output_text
    assert [token.logprob for token in done.logprobs] == [token.logprob for token in streamed]
    assert all(token.top_logprobs and token.top_logprobs[0].token == token.token for token in streamed)
    item = final.output[0]
    assert isinstance(item, ResponseOutputMessage)
    assert isinstance(item.content[0], ResponseOutputText)
    assert [token.logprob for token in item.content[0].logprobs or []] == [token.logprob for token in streamed]


def test_embeddings(client: openai.OpenAI) -> None:
    """By default this client asks for base64 and decodes it."""
    plain = client.embeddings.create(model=MODEL, input=["One", "Two"], encoding_format="float")
    packed = client.embeddings.create(model=MODEL, input=["One", "Two"])
    assert [entry.index for entry in packed.data] == [0, 1]
    for one, other in zip(plain.data, packed.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert sum(number * number for number in one.embedding) == pytest.approx(1, abs=1e-4)
    assert plain.data[0].embedding != pytest.approx(plain.data[1].embedding, abs=1e-3)
    assert plain.usage.total_tokens > 2
    short = client.embeddings.create(model=MODEL, input="One", dimensions=64).data[0].embedding
    assert (len(short), sum(number * number for number in short)) == (64, pytest.approx(1, abs=1e-4))
    with pytest.raises(openai.BadRequestError) as raised:
        client.embeddings.create(model=MODEL, input="One", dimensions=10_000)
    assert raised.value.param == "dimensions"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"temperature": 1000}, "temperature", None),
        ({"messages": []}, "messages", None),
        ({"messages": [{"role": "user", "content": "word " * 5000}]}, "messages", "context_length_exceeded"),
        ({"response_format": {"type": "poem"}}, "response_format.type", None),
        ({"n": 100}, "n", None),
    ],
)
def test_bad_requests(client: openai.OpenAI, fields: dict[str, Any], param: str, code: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**{"model": MODEL, "messages": ASKED, **fields})
    assert raised.value.param == param
    assert raised.value.code == code
    assert raised.value.type == "invalid_request_error"


def test_a_full_queue_is_an_error_that_says_when_to_retry(client: openai.OpenAI, demo_server: Server) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        ask_beside_crowds(demo_server.address, lambda: client.completions.create(model=MODEL, prompt="x", max_tokens=1))
    assert raised.value.status_code == 503
    assert raised.value.code == "queue_full"
    assert int(raised.value.response.headers["retry-after"]) > 0


def test_a_retry_after_a_full_queue_succeeds(
    client: openai.OpenAI, demo_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the client waits as long as it was told, the crowd leaves."""
    waits: list[float] = []
    patient = client.with_options(max_retries=1)
    for _ in range(8):  # one of the crowd's replies may just have ended
        with Crowd(demo_server.address) as crowd:

            def leave(duration_s: float, crowd: Crowd = crowd) -> None:
                waits.append(duration_s)
                crowd.leave()

            monkeypatch.setattr(time, "sleep", leave)
            reply = patient.completions.create(model=MODEL, prompt="x", max_tokens=1)
        if waits:
            break
    assert waits == [5.0]
    assert len(reply.choices) == 1


def test_the_asynchronous_client_asks_many_at_once(demo_server: Server) -> None:
    async def ask() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{demo_server.address}/v1", api_key="none", max_retries=0) as client:
            replies = await asyncio.gather(
                *(client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0) for _ in range(6))
            )
            return [reply.choices[0].message.content for reply in replies]

    assert all("packer build" in (text or "") for text in asyncio.run(ask()))


def test_two_threads_share_a_client(client: openai.OpenAI) -> None:
    found: list[str | None] = []

    def ask() -> None:
        reply = client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0)
        found.append(reply.choices[0].message.content)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert all("packer build" in (text or "") for text in found)
