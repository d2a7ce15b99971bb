"""LangChain's OpenAI integration against the packed demonstration model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from tests.support.program import Server

PACKING = "How do I pack my own model?"
PRIVACY = "Does anything leave my machine?"


class Verdict(BaseModel):
    """What a reply is made to be."""

    answer: Literal["yes", "no"]
    sure: bool


@pytest.fixture(scope="module", params=[False, True], ids=["chat completions", "responses"])
def model(demo_server: Server, request: pytest.FixtureRequest) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=f"{demo_server.address}/v1",
        api_key=SecretStr("none"),
        model="any",
        temperature=0,
        max_retries=0,
        stream_usage=True,
        use_responses_api=request.param,
    )


def test_invoke(model: ChatOpenAI) -> None:
    reply = model.invoke([SystemMessage("Be kind."), HumanMessage(PACKING)])
    assert isinstance(reply, AIMessage)
    assert "packer build" in reply.text
    assert reply.usage_metadata is not None
    assert reply.usage_metadata["output_tokens"] > 4


def test_stream(model: ChatOpenAI) -> None:
    whole = model.invoke(PACKING)
    pieces = list(model.stream(PACKING))
    assert "".join(piece.text for piece in pieces) == whole.text
    assert len([piece for piece in pieces if piece.text]) > 4
    counts = [piece.usage_metadata["output_tokens"] for piece in pieces if piece.usage_metadata]
    assert whole.usage_metadata is not None
    assert sum(counts) == whole.usage_metadata["output_tokens"]


def test_batch(model: ChatOpenAI) -> None:
    replies = model.batch([PACKING, PRIVACY, PACKING, PRIVACY])
    assert [("packer build" in reply.text, "127.0.0.1" in reply.text) for reply in replies] == [
        (True, False),
        (False, True),
    ] * 2


def test_asynchronous_calls(model: ChatOpenAI) -> None:
    async def ask() -> list[str]:
        return [piece.text async for piece in model.astream(PACKING)]

    assert "packer build" in "".join(asyncio.run(ask()))


def test_a_chain(model: ChatOpenAI) -> None:
    chain = ChatPromptTemplate.from_messages([("human", "How do I pack {what}?")]) | model
    assert "packer build" in chain.invoke({"what": "my own model"}).text


def test_stop_words(model: ChatOpenAI, request: pytest.FixtureRequest) -> None:
    """OpenAI's responses have no stop words, so LangChain sends none there."""
    if request.node.callspec.params["model"]:
        assert model.invoke(PACKING).response_metadata["status"] == "completed"
    else:
        assert model.invoke(PACKING, stop=["build"]).text.endswith("packer ")


def test_structured_output(model: ChatOpenAI) -> None:
    found = model.with_structured_output(Verdict, method="json_schema").invoke("Are you sure?")
    assert isinstance(found, Verdict)


def test_embeddings(demo_server: Server) -> None:
    """``check_embedding_ctx_length`` would fetch OpenAI's own tokenizer from the internet."""
    embeddings = OpenAIEmbeddings(
        base_url=f"{demo_server.address}/v1",
        api_key=SecretStr("none"),
        model="any",
        max_retries=0,
        check_embedding_ctx_length=False,
    )
    one, two = embeddings.embed_documents([PACKING, PRIVACY])
    assert embeddings.embed_query(PACKING) == pytest.approx(one, abs=1e-3)
    assert one != pytest.approx(two, abs=1e-3)
