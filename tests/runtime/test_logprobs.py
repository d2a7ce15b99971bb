"""Log probabilities on their way from the engine to the answer: which tokens, when, and in which shape."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runtime.engine.logprobs import LogprobQueue, TokenLogprob, TokenLogprobs
from runtime.engine.text_stream import TextStream

if TYPE_CHECKING:
    from flask.testing import FlaskClient

HI = [{"role": "user", "content": "hi"}]


def chat(client: FlaskClient, **fields: Any) -> Any:
    answer = client.post("/v1/chat/completions", json={"messages": HI, "logprobs": True, **fields})
    assert answer.status_code == 200, answer.get_data()
    return answer


def complete(client: FlaskClient, **fields: Any) -> Any:
    answer = client.post("/v1/completions", json={"prompt": "hi", **fields})
    assert answer.status_code == 200, answer.get_data()
    return answer


def pieces(answer: Any) -> list[dict[str, Any]]:
    lines = answer.get_data(as_text=True).splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def through(parts: list[bytes], stop: tuple[str, ...] = ()) -> list[tuple[str, list[int], list[int]]]:
    """Push tokens through text and queue; give each delta with the tokens and offsets that come along."""
    stream, queue, found = TextStream(stop), LogprobQueue(), []
    for token, part in enumerate(parts):
        queue.push(TokenLogprobs(chosen=TokenLogprob(token=token, logprob=-1.0), top=()), stream.num_decoded)
        text = stream.push(part)
        found.append((text, queue.take(stream.num_shown)))
        if stream.stopped:
            break
    text = stream.finish()
    found.append((text, () if stream.stopped else queue.take_all()))
    return [(text, [one.chosen.token for one in some], [one.text_offset for one in some]) for text, some in found]


def test_a_token_comes_with_its_text() -> None:
    assert through([b"ab", b"c"]) == [("ab", [0], [0]), ("c", [1], [2]), ("", [], [])]


def test_the_tokens_of_one_character_come_with_it() -> None:
    snowman = "☃".encode()
    assert through([b"a", snowman[:1], snowman[1:2], snowman[2:] + b"b", b"c"]) == [
        ("a", [0], [0]),
        ("", [], []),
        ("", [], []),
        ("☃b", [1, 2, 3], [1, 1, 1]),
        ("c", [4], [3]),
        ("", [], []),
    ]


def test_what_may_be_a_stop_string_is_held_back_with_its_tokens() -> None:
    assert through([b"a", b"E", b"N", b"x"], ("END",)) == [
        ("a", [0], [0]),
        ("", [], []),
        ("", [], []),
        ("ENx", [1, 2, 3], [1, 2, 3]),
        ("", [], []),
    ]


def test_tokens_of_a_stop_string_are_left_out_but_not_one_that_shows_text_before_it() -> None:
    assert through([b"a", b".E", b"ND", b"x"], ("END",)) == [
        ("a", [0], [0]),
        (".", [1], [1]),
        ("", [], []),
        ("", [], []),
    ]


def test_tokens_without_text_come_at_the_end() -> None:
    assert through([b"a", "☃".encode()[:2]]) == [("a", [0], [0]), ("", [], []), ("", [1], [1])]


def test_a_chat_has_them_in_openais_shape(client: FlaskClient) -> None:
    (choice,) = chat(client, top_logprobs=2).get_json()["choices"]
    content = choice["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content) == choice["message"]["content"] == "hello"
    assert content[1] == {
        "token": "e",
        "logprob": -1 / (ord("e") + 1),
        "bytes": [ord("e")],
        "top_logprobs": [
            {"token": "e", "logprob": -1 / (ord("e") + 1), "bytes": [ord("e")]},
            {"token": "d", "logprob": -10.0, "bytes": [ord("d")]},
        ],
    }
    assert choice["logprobs"]["refusal"] is None


def test_without_top_logprobs_there_are_no_alternatives(client: FlaskClient) -> None:
    (choice,) = chat(client).get_json()["choices"]
    assert [entry["top_logprobs"] for entry in choice["logprobs"]["content"]] == [[]] * 5


def test_unasked_nothing_is_computed(client: FlaskClient, runner: Any) -> None:
    (choice,) = chat(client, logprobs=False).get_json()["choices"]
    assert choice["logprobs"] is None
    assert [chunk.top_logprobs for chunks in runner.steps for chunk in chunks] == [None] * 6


def test_each_choice_has_its_own(client: FlaskClient) -> None:
    choices = chat(client, n=3, max_tokens=4).get_json()["choices"]
    assert [len(choice["logprobs"]["content"]) for choice in choices] == [4, 4, 4]


def test_a_stream_brings_each_token_once(client: FlaskClient, runner: Any) -> None:
    runner.reply = "a☃bEND".encode()
    found = pieces(chat(client, stream=True, stop=["END"], top_logprobs=1))
    choices = [piece["choices"][0] for piece in found]
    assert choices[0]["logprobs"] is None
    assert choices[-1]["logprobs"] is None
    shown = [(c["delta"]["content"], c["logprobs"]["content"]) for c in choices if c["delta"].get("content")]
    assert [text for text, _content in shown] == ["a", "☃", "b"]
    assert [entry["bytes"] for _text, content in shown for entry in content] == [[byte] for byte in "a☃b".encode()]
    assert [entry["token"] for entry in shown[1][1]] == ["\ufffd"] * 3


def test_a_completion_has_lists(client: FlaskClient, runner: Any) -> None:
    runner.reply = "aé.END".encode()
    (choice,) = complete(client, logprobs=1, stop="END").get_json()["choices"]
    first, second = (f"bytes:\\x{byte:02x}" for byte in "é".encode())
    assert choice["text"] == "aé."
    assert choice["logprobs"]["tokens"] == ["a", first, second, "."]
    assert choice["logprobs"]["text_offset"] == [0, 1, 1, 2]
    assert choice["logprobs"]["token_logprobs"][0] == -1 / (ord("a") + 1)
    assert choice["logprobs"]["top_logprobs"][0] == {"a": -1 / (ord("a") + 1)}


def test_streamed_completions_of_several_prompts_keep_them_apart(client: FlaskClient) -> None:
    found = pieces(complete(client, prompt=["one", "two"], logprobs=0, stream=True))
    for index in range(2):
        own = [piece["choices"][0] for piece in found if piece["choices"] and piece["choices"][0]["index"] == index]
        tokens = [token for choice in own for token in choice["logprobs"]["tokens"]]
        offsets = [offset for choice in own for offset in choice["logprobs"]["text_offset"]]
        assert tokens == list("hello")
        assert offsets == [0, 1, 2, 3, 4]
        assert all(alternative == {} for choice in own for alternative in choice["logprobs"]["top_logprobs"])


def respond(client: FlaskClient, **fields: Any) -> Any:
    answer = client.post("/v1/responses", json={"input": "hi", "include": ["message.output_text.logprobs"], **fields})
    assert answer.status_code == 200, answer.get_data()
    return answer


def test_a_model_response_has_them_with_its_text(client: FlaskClient) -> None:
    body = respond(client, top_logprobs=2).get_json()
    described = body["output"][0]["content"][0]["logprobs"]
    assert described == chat(client, top_logprobs=2).get_json()["choices"][0]["logprobs"]["content"]
    assert body["top_logprobs"] == 2
    alone = respond(client, include=None, top_logprobs=2).get_json()
    assert alone["output"][0]["content"][0]["logprobs"] == described
    included = respond(client).get_json()["output"][0]["content"][0]["logprobs"]
    assert [(entry["token"], entry["top_logprobs"]) for entry in included] == [(letter, []) for letter in "hello"]
    unasked = respond(client, include=["reasoning.encrypted_content"], top_logprobs=0).get_json()
    assert unasked["output"][0]["content"][0]["logprobs"] == []


def test_a_streamed_model_response_leaves_bytes_to_the_parts(client: FlaskClient) -> None:
    found = pieces(respond(client, stream=True, top_logprobs=1))
    deltas = [event for event in found if event["type"] == "response.output_text.delta"]
    assert [entry["token"] for event in deltas for entry in event["logprobs"]] == list("hello")
    (done,) = [event for event in found if event["type"] == "response.output_text.done"]
    assert done["logprobs"] == [entry for event in deltas for entry in event["logprobs"]]
    assert done["logprobs"][0] == {
        "token": "h",
        "logprob": -1 / (ord("h") + 1),
        "top_logprobs": [{"token": "h", "logprob": -1 / (ord("h") + 1)}],
    }
    parts = [event["part"] for event in found if event["type"].startswith("response.content_part")]
    whole = found[-1]["response"]["output"][0]["content"][0]
    assert parts == [{**whole, "text": "", "logprobs": []}, whole]
    assert [entry["bytes"] for entry in whole["logprobs"]] == [[byte] for byte in b"hello"]


@pytest.mark.parametrize("address", ["/v1/chat/completions", "/v1/completions"])
def test_the_description_knows_them(client: FlaskClient, address: str) -> None:
    document = client.get("/openapi.json").get_json()
    body = document["paths"][address]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert "logprobs" in document["components"]["schemas"][body.rpartition("/")[2]]["properties"]
