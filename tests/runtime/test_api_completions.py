"""Text completions, several prompts and choices, tokens and templates."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.encoder import ByteEncoder
from tests.support.recording import record_requests

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from runtime.engine.engine import Engine


@pytest.fixture
def encoder() -> ByteEncoder:
    return ByteEncoder()


def ask(client: FlaskClient, prompt: Any = "hi", **fields: Any) -> TestResponse:
    return client.post("/v1/completions", json={"prompt": prompt, **fields})


def chunks(answer: TestResponse) -> list[Any]:
    blocks = [block.removeprefix("data: ") for block in answer.get_data(as_text=True).split("\n\n") if block]
    assert blocks.pop() == "[DONE]"
    return [json.loads(block) for block in blocks]


def test_a_whole_answer(client: FlaskClient) -> None:
    body = ask(client).get_json()
    assert body["object"] == "text_completion"
    assert body["id"].startswith("cmpl-")
    assert body["choices"] == [{"text": "hello", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"]["prompt_tokens"] == 2
    assert body["usage"]["completion_tokens"] == 5


def test_a_streamed_answer(client: FlaskClient) -> None:
    answer = ask(client, stream=True, stream_options={"include_usage": True}, max_tokens=3)
    *pieces, usage = chunks(answer)
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == "hel"
    assert pieces[-1]["choices"][0]["finish_reason"] == "length"
    assert usage["usage"]["completion_tokens"] == 3
    assert usage["choices"] == []


@pytest.mark.parametrize("prompt", [[105, 106], [105.0, 106.0], [[105, 106]], ["hi"]])
def test_other_kinds_of_prompts(client: FlaskClient, engine: Engine, prompt: Any) -> None:
    requests = record_requests(engine)
    assert ask(client, prompt).status_code == 200
    assert requests[0].prompt_tokens == (105, 106)


def test_no_template_and_no_system_prompt(engine: Engine, make_client: Any) -> None:
    requests = record_requests(engine)
    assert ask(make_client(engine, system_prompt="be brief")).status_code == 200
    assert requests[0].prompt_tokens == (105, 106)


def test_several_prompts(client: FlaskClient) -> None:
    body = ask(client, ["a", "bcd"]).get_json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert body["usage"]["prompt_tokens"] == 4
    assert body["usage"]["completion_tokens"] == 10


def test_several_choices_share_their_prompt(client: FlaskClient, engine: Engine) -> None:
    requests = record_requests(engine)
    body = ask(client, "abc", n=3, seed=1).get_json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["usage"]["prompt_tokens"] == 3
    assert body["usage"]["completion_tokens"] == 15
    assert [request.sampling.seed for request in requests] == [1, 2, 3]


def test_several_streams(client: FlaskClient) -> None:
    texts = {0: "", 1: "", 2: ""}
    ends = []
    for piece in chunks(ask(client, n=3, stream=True)):
        choice = piece["choices"][0]
        texts[choice["index"]] += choice["text"]
        ends += [choice["index"]] if choice["finish_reason"] else []
    assert set(texts.values()) == {"hello"}
    assert sorted(ends) == [0, 1, 2]


def test_choices_of_a_chat_stream(client: FlaskClient) -> None:
    answer = client.post(
        "/v1/chat/completions",
        json={"messages": [{"role": "user", "content": "hi"}], "n": 2, "stream": True},
    )
    texts = {0: "", 1: ""}
    for piece in chunks(answer):
        choice = piece["choices"][0]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == {0: "hello", 1: "hello"}


def test_when_not_all_choices_find_room_none_runs(client: FlaskClient, engine: Engine) -> None:
    answer = ask(client, ["x"] * 16, n=2)
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    deadline_s = time.monotonic() + 5
    while ask(client).status_code != 200:
        assert time.monotonic() < deadline_s


def test_a_failing_choice_ends_the_answer(client: FlaskClient) -> None:
    answer = ask(client, ["fine", "bad!"])
    assert answer.status_code == 500
    assert ask(client).status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [""]}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": ["x", 5]}, "prompt"),
        ({"prompt": [5, "x"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [258]}, "prompt"),
        ({"prompt": ["x"] * 17}, "prompt"),
        ({"prompt": "x" * 64}, "prompt"),
        ({"prompt": ["x"] * 16, "n": 3}, "n"),
        ({"n": 9}, "n"),
        ({"echo": True}, "echo"),
        ({"suffix": "x"}, "suffix"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"best_of": 2}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"grammar": "nonsense"}, "grammar"),
    ],
)
def test_wrong_fields_are_refused_by_name(client: FlaskClient, fields: dict[str, Any], param: str) -> None:
    answer = ask(client, **{"prompt": "hi", **fields})
    assert answer.status_code == 400
    assert answer.get_json()["error"]["param"] == param


def test_tokenize_and_detokenize(client: FlaskClient) -> None:
    def tokens(**fields: Any) -> Any:
        return client.post("/tokenize", json=fields).get_json()["tokens"]

    assert tokens(content="hi") == [105, 106]
    assert tokens(content="") == []
    assert tokens(content="hi", add_special=True) == [257, 105, 106]
    assert tokens(content="<bos>") == [257]
    assert tokens(content="<bos>", parse_special=False)[0] == ord("<") + 1
    assert tokens(content="é", with_pieces=True) == [{"id": 196, "piece": [195]}, {"id": 170, "piece": [169]}]
    answer = client.post("/detokenize", json={"tokens": [257, *tokens(content="née")]})
    assert answer.get_json() == {"content": "<bos>née"}


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/tokenize", {}, "content"),
        ("/tokenize", {"content": 5}, "content"),
        ("/tokenize", {"content": "x", "with_pieces": 1}, "with_pieces"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": ["x"]}, "tokens"),
        ("/detokenize", {"tokens": [True]}, "tokens"),
        ("/detokenize", {"tokens": [9999]}, "tokens"),
        ("/detokenize", {"tokens": [1] * ((1 << 20) + 1)}, "tokens"),
        ("/apply-template", {}, "messages"),
    ],
)
def test_wrong_token_requests(client: FlaskClient, path: str, fields: dict[str, Any], param: str) -> None:
    answer = client.post(path, json=fields)
    assert answer.status_code == 400
    assert answer.get_json()["error"]["param"] == param


def test_apply_template(engine: Engine, make_client: Any) -> None:
    client = make_client(engine, system_prompt="be brief. ")
    answer = client.post("/apply-template", json={"messages": [{"role": "user", "content": "hi"}]})
    assert answer.get_json() == {"prompt": "be brief. hi"}
