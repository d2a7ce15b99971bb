"""Sampling fields of requests: what reaches the engine, and the chain that is built from it."""

from __future__ import annotations

import json
import math
import random
from typing import TYPE_CHECKING, Any

import pytest

from runtime.engine.sampling import SamplingParams
from runtime.llama.sampler import Candidates, GrammarError, Sampler
from tests.support.encoder import BOS, END, ByteEncoder
from tests.support.gbnf_samples import Grammar
from tests.support.llama_api import FakeLlama
from tests.support.recording import record_requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from runtime.engine.engine import Engine

HI = [{"role": "user", "content": "hi"}]
EVERYTHING = {
    "temperature": 0.5,
    "dynatemp_range": 0.1,
    "dynatemp_exponent": 1.5,
    "top_k": 7,
    "top_p": 0.8,
    "min_p": 0.1,
    "top_n_sigma": 1.0,
    "typical_p": 0.9,
    "repeat_penalty": 1.1,
    "repeat_last_n": -1,
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "dry_multiplier": 0.8,
    "dry_base": 1.5,
    "dry_allowed_length": 3,
    "dry_penalty_last_n": 100,
    "xtc_probability": 0.5,
    "xtc_threshold": 0.2,
    "mirostat": 2,
    "mirostat_tau": 4.0,
    "mirostat_eta": 0.2,
    "seed": 42,
}


@pytest.fixture
def encoder() -> ByteEncoder:
    return ByteEncoder()


def ask(client: FlaskClient, **fields: Any) -> Any:
    return client.post("/v1/chat/completions", json={"messages": HI, **fields})


def test_every_field_reaches_the_engine(client: FlaskClient, engine: Engine) -> None:
    requests = record_requests(engine)
    assert ask(client, **EVERYTHING, dry_sequence_breakers=["\n", "x"]).status_code == 200
    sampling = requests[0].sampling
    assert {name: getattr(sampling, name) for name in EVERYTHING} == EVERYTHING
    assert sampling.dry_sequence_breakers == ("\n", "x")
    assert sampling.grammar is None
    assert sampling.logit_bias == ()


@pytest.mark.parametrize(
    ("biases", "expected"),
    [
        ({"5": 1, "7": -2.5}, ((5, 1.0), (7, -2.5))),
        ({"ab": 1}, ((98, 1.0), (99, 1.0))),
        ([[5, False], ["a", 2]], ((5, -math.inf), (98, 2.0))),
        ({"5": 10**300}, ((5, 1e6),)),
        ({"5": 10**400}, ((5, 1e6),)),
        ([[5.0, 1]], ((5, 1.0),)),
        ({"9" * 5000: 1}, ((ord("9") + 1, 1.0),)),
        ({}, ()),
    ],
)
def test_logit_bias(client: FlaskClient, engine: Engine, biases: Any, expected: Any) -> None:
    requests = record_requests(engine)
    assert ask(client, logit_bias=biases).status_code == 200
    assert requests[0].sampling.logit_bias == expected


def test_ignoring_the_end_bans_the_tokens_that_end(client: FlaskClient, engine: Engine) -> None:
    requests = record_requests(engine)
    assert ask(client, ignore_eos=True, logit_bias={str(END): 5}).status_code == 200
    assert requests[0].sampling.logit_bias == ((END, -math.inf),)


def test_a_grammar_bans_control_tokens(client: FlaskClient, engine: Engine) -> None:
    requests = record_requests(engine)
    assert ask(client, grammar='root ::= "a"').status_code == 200
    assert requests[0].sampling.grammar == 'root ::= "a"'
    assert requests[0].sampling.logit_bias == ((BOS, -math.inf),)


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_object", "schema": {"required": ["a"]}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"required": ["a"]}}}},
        {"json_schema": {"required": ["a"]}},
    ],
)
def test_schemas_become_grammars(client: FlaskClient, engine: Engine, fields: dict[str, Any]) -> None:
    requests = record_requests(engine)
    assert ask(client, **fields).status_code == 200
    grammar = requests[0].sampling.grammar
    assert grammar is not None
    assert "a" in json.loads(Grammar(grammar).sample(random.Random(1)))


def test_json_object_without_a_schema(client: FlaskClient, engine: Engine) -> None:
    requests = record_requests(engine)
    assert ask(client, response_format={"type": "json_object"}).status_code == 200
    assert json.loads(Grammar(requests[0].sampling.grammar or "").sample(random.Random(1))) is not None


def test_plain_text_needs_no_grammar(client: FlaskClient, engine: Engine) -> None:
    requests = record_requests(engine)
    assert ask(client, response_format={"type": "text"}).status_code == 200
    assert requests[0].sampling.grammar is None


def test_a_grammar_that_llama_cpp_refuses(client: FlaskClient) -> None:
    answer = ask(client, grammar="nonsense")
    assert answer.status_code == 400
    assert answer.get_json()["error"]["param"] == "grammar"
    assert answer.get_json()["error"]["code"] == "invalid_grammar"


def test_locked_sampling_leaves_the_output_format_to_the_request(
    engine: Engine, make_client: Callable[..., FlaskClient]
) -> None:
    requests = record_requests(engine)
    client = make_client(engine, locked=frozenset({"sampling"}))
    assert ask(client, **EVERYTHING, grammar='root ::= "a"').status_code == 200
    sampling = requests[0].sampling
    assert {name: getattr(sampling, name) for name in EVERYTHING} == {
        name: getattr(SamplingParams(), name) for name in EVERYTHING
    }
    assert sampling.grammar == 'root ::= "a"'


def test_choices_get_seeds_of_their_own(client: FlaskClient, engine: Engine) -> None:
    requests = record_requests(engine)
    body = ask(client, n=2, seed=5).get_json()
    assert [request.sampling.seed for request in requests] == [5, 6]
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert body["usage"]["prompt_tokens"] == 2
    assert body["usage"]["completion_tokens"] == 10


# --- the chain ---------------------------------------------------------------------------------------------------


def chain_of(**changes: Any) -> list[Any]:
    llama = FakeLlama(vocab_size=8)
    sampler = Sampler(llama, 8, SamplingParams(**changes), [1, 2, 3])
    sampler.sample(0)
    names = list(llama.chain)
    sampler.close()
    assert llama.num_open == 0, "a sampler was not freed"
    return names


def test_the_default_chain() -> None:
    assert chain_of(seed=5) == [("top_k", 40), ("top_p", 0.95), ("min_p", 0.05), ("temp_ext", 0.7, 0, 1), ("dist", 5)]


def test_the_full_chain() -> None:
    found = chain_of(**{**EVERYTHING, "mirostat": 0}, logit_bias=((3, 1.0), (99, 1.0)))
    names = "logit_bias penalties dry top_n_sigma top_k typical top_p min_p xtc temp_ext dist"
    assert [step[0] for step in found] == names.split()
    assert found[0] == ("logit_bias", [(3, 1.0)])
    assert found[1] == ("penalties", 4096, 1.1, -0.5, 0.5)
    assert found[2] == ("dry", 0.8, 1.5, 3, 100, [b"\n", b":", b'"', b"*"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"temperature": 0}, ["greedy"]),
        ({"temperature": 0, "presence_penalty": 1.0}, ["penalties", "greedy"]),
        ({"mirostat": 1}, ["temp", "mirostat"]),
        ({"mirostat": 2, "dry_multiplier": 1.0}, ["dry", "temp", "mirostat_v2"]),
        ({"temperature": 0, "repeat_penalty": 1.5, "repeat_last_n": 0}, ["greedy"]),
    ],
)
def test_other_chains(changes: dict[str, Any], expected: list[str]) -> None:
    assert [step[0] for step in chain_of(**changes)] == expected


def test_only_what_counts_the_prompt_is_given_it() -> None:
    llama = FakeLlama(vocab_size=8)
    params = SamplingParams(repeat_penalty=1.5, repeat_last_n=2, dry_multiplier=1.0, temperature=0)
    sampler = Sampler(llama, 8, params, [1, 2, 3])
    sampler.sample(0)
    assert llama.accepted["penalties"] == [2, 3]
    assert llama.accepted["dry"] == [1, 2, 3]
    sampler.close()


def test_a_grammar_overrules_the_likeliest_token() -> None:
    llama = FakeLlama(vocab_size=8, logits=[0, 1, 2, 3, 4, 5, 6, 7])
    sampler = Sampler(llama, 8, SamplingParams(temperature=0, grammar="25"), [])
    assert [sampler.sample(0), sampler.sample(0)] == [5, 5]
    assert llama.accepted["grammar"] == [5, 5]
    llama.logits[7], llama.grammar_tokens = 0, {7}
    assert sampler.sample(0) == 7
    llama.grammar_tokens = set()
    with pytest.raises(GrammarError):
        sampler.sample(0)
    sampler.close()
    assert llama.num_open == 0


@pytest.mark.parametrize("grammar", ["", " ", "a\0b", "bad"])
def test_a_grammar_that_cannot_be_read(grammar: str) -> None:
    sampler = Sampler(FakeLlama(vocab_size=8), 8, SamplingParams(grammar=grammar), [])
    with pytest.raises(GrammarError):
        sampler.sample(0)
    sampler.close()


def test_candidates_are_filled_anew() -> None:
    llama = FakeLlama(vocab_size=4, logits=[3, 2, 1, 9])
    candidates = Candidates(llama, 4)
    for _ in range(2):
        assert candidates.choose(llama.llama_get_logits_ith(0, -1), ["sort", "greedy"]) == 3


def test_what_the_file_itself_sets_as_the_longest_reply_is_no_demand(
    engine: Engine, make_client: Callable[..., FlaskClient]
) -> None:
    requests = record_requests(engine)
    client = make_client(engine, max_tokens=1000)
    assert ask(client).status_code == ask(client, max_tokens=1000).status_code == 200
    assert ask(client, max_tokens=1001).status_code == 400
    assert [request.max_tokens for request in requests] == [1000, 1000, 1001]
