"""Each sampling setting against a chain that the test builds itself from llama.cpp's samplers, over the same logits.

The reference reads prompt and reply token by token, applies the samplers named here to the logits of each place, and
says which token it would take: the reply must be that one throughout.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import reference
from tests.support.made_models import made_model
from tests.support.recording import record_requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from packer.runtimes.recipe import RuntimeParts
    from tests.support.real_engine import RealEngine

PROMPT = "the water of the day the water of the day hello hello hello"
COUNT = 24

CHAIN = """
path, prompt, reply, steps, seed = sys.argv[1].encode(), *map(json.loads, sys.argv[2:])
model = L.llama_model_load_from_file(path, L.llama_model_default_params())
vocab = L.llama_model_get_vocab(model)
size = L.llama_vocab_n_tokens(vocab)
settings = L.llama_context_default_params()
settings.n_ctx, settings.n_threads, settings.n_threads_batch = 512, 1, 1
context = L.llama_init_from_model(model, settings)

def make(name, *values):
    if name == "logit_bias":
        pairs = [L.llama_logit_bias(token, bias) for token, bias in values[0]]
        return L.llama_sampler_init_logit_bias(size, len(pairs), (L.llama_logit_bias * len(pairs))(*pairs))
    if name == "dry":
        breakers = [text.encode() for text in values[-1]]
        return L.llama_sampler_init_dry(
            vocab, *values[:-1], (ctypes.c_char_p * len(breakers))(*breakers), len(breakers)
        )
    if name == "mirostat":
        return L.llama_sampler_init_mirostat(size, seed, *values, 100)
    if name == "mirostat_v2":
        return L.llama_sampler_init_mirostat_v2(seed, *values)
    if name == "penalties":
        return L.llama_sampler_init_penalties(size, *values)
    if name == "xtc":
        return L.llama_sampler_init_xtc(*values, 1, seed)
    if name in ("typical", "top_p", "min_p"):
        return getattr(L, "llama_sampler_init_" + name)(*values, 1)
    if name == "dist":
        return L.llama_sampler_init_dist(seed)
    return getattr(L, "llama_sampler_init_" + name)(*values)

chain = L.llama_sampler_chain_init(L.llama_sampler_chain_default_params())
for step in steps:
    sampler = make(*step)
    if step[0] in ("dry", "penalties"):
        window = step[-2] if step[0] == "dry" else step[1]
        for token in prompt[-window:]:
            L.llama_sampler_accept(sampler, token)
    L.llama_sampler_chain_add(chain, sampler)
batch = (L.llama_token * len(prompt))(*prompt)
assert L.llama_decode(context, L.llama_batch_get_one(batch, len(prompt))) == 0
found = []
for token in [*reply, None]:
    found.append(L.llama_sampler_sample(chain, context, -1))
    if token is None or found[-1] != token:
        break
    one = (L.llama_token * 1)(token)
    assert L.llama_decode(context, L.llama_batch_get_one(one, 1)) == 0
print(json.dumps(found))
"""
FILTERS = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "temperature": 1.5, "seed": 7}
END: list[list[Any]] = [["temp_ext", 1.5, 0.0, 1.0], ["dist"]]
OFF: list[list[Any]] = [["top_k", 0], ["top_p", 1.0], ["min_p", 0.0]]
BREAKERS = ["\n", ":", '"', "*"]
CASES: dict[str, tuple[dict[str, Any], list[list[Any]]]] = {
    "seed": ({}, [*OFF, *END]),
    "other seed": ({"seed": 8}, [*OFF, *END]),
    "temperature": ({"temperature": 0.4}, [*OFF, ["temp_ext", 0.4, 0.0, 1.0], ["dist"]]),
    "greedy": ({"temperature": 0.0}, [["greedy"]]),
    "dynamic temperature": (
        {"dynatemp_range": 0.9, "dynatemp_exponent": 1.2},
        [*OFF, ["temp_ext", 1.5, 0.9, 1.2], ["dist"]],
    ),
    "top_k": ({"top_k": 3}, [["top_k", 3], ["top_p", 1.0], ["min_p", 0.0], *END]),
    "top_p": ({"top_p": 0.6}, [["top_k", 0], ["top_p", 0.6], ["min_p", 0.0], *END]),
    "min_p": ({"min_p": 0.3}, [["top_k", 0], ["top_p", 1.0], ["min_p", 0.3], *END]),
    "typical": ({"typical_p": 0.5}, [["top_k", 0], ["typical", 0.5], ["top_p", 1.0], ["min_p", 0.0], *END]),
    "top_n_sigma": ({"top_n_sigma": 0.05}, [["top_n_sigma", 0.05], *OFF, *END]),
    "xtc": ({"xtc_probability": 0.8, "xtc_threshold": 0.1}, [*OFF, ["xtc", 0.8, 0.1], *END]),
    "mirostat 1": (
        {"mirostat": 1, "mirostat_tau": 3.0, "mirostat_eta": 0.2},
        [["temp", 1.5], ["mirostat", 3.0, 0.2]],
    ),
    "mirostat 2": (
        {"mirostat": 2, "mirostat_tau": 3.0, "mirostat_eta": 0.2},
        [["temp", 1.5], ["mirostat_v2", 3.0, 0.2]],
    ),
    "repeat penalty": (
        {"repeat_penalty": 3.0, "repeat_last_n": 8, "temperature": 0.0},
        [["penalties", 8, 3.0, 0.0, 0.0], ["greedy"]],
    ),
    "dry": (
        {"dry_multiplier": 5.0, "dry_base": 2.0, "dry_allowed_length": 1, "temperature": 0.0},
        [["dry", 5.0, 2.0, 1, 512, BREAKERS], ["greedy"]],
    ),
}


def ask(real: RealEngine, prompt: list[int], **fields: Any) -> list[int]:
    """The tokens of the reply, through the HTTP API, which names them by their bytes and logprobs' order."""
    body = {"prompt": prompt, "max_tokens": COUNT, **fields}
    requests = record_requests(real.engine)
    answer = real.client().post("/v1/completions", json=body)
    assert answer.status_code == 200, answer.get_data()
    (request,) = requests
    return list(real.generate(prompt, sampling=request.sampling, max_tokens=COUNT).finished.token_ids)


@pytest.fixture
def real(open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts) -> RealEngine:
    return open_engine(made_model(runtime_parts, "llama"))


@pytest.mark.parametrize("case", CASES)
def test_every_setting_is_honoured(real: RealEngine, runtime_parts: RuntimeParts, case: str) -> None:
    fields, steps = CASES[case]
    prompt = real.encoder.encode_text(PROMPT)
    wanted = {**FILTERS, **fields}
    reply = ask(real, prompt, **wanted)
    arguments = (made_model(runtime_parts, "llama"), *map(json.dumps, (prompt, reply, steps, wanted["seed"])))
    expected = json.loads(reference.run_with_binding(runtime_parts, CHAIN, *arguments))
    assert expected[: len(reply)] == reply
    if case != "seed":
        plain = ask(real, prompt, **FILTERS)
        assert reply != plain, "the setting changes nothing here, so this shows nothing"


def likeliest(real: RealEngine, prompt: list[int], count: int = 3) -> list[int]:
    (first,) = real.generate(prompt, max_tokens=1, top_logprobs=count).logprobs
    return [one.token for one in first.top]


def test_logit_bias_bans_and_forces(real: RealEngine) -> None:
    prompt = real.encoder.encode_text(PROMPT)
    first, second, third = likeliest(real, prompt)
    assert ask(real, prompt, temperature=0, logit_bias={str(first): -100})[0] == second
    assert ask(real, prompt, temperature=0, logit_bias=[[first, False], [second, False]])[0] == third
    assert set(ask(real, prompt, temperature=0, logit_bias={str(third): 100})) == {third}


@pytest.mark.parametrize("field", ["presence_penalty", "frequency_penalty"])
def test_presence_and_frequency_penalties_keep_replies_from_repeating(
    real: RealEngine, runtime_parts: RuntimeParts, field: str
) -> None:
    """Unlike the repeat penalty they count the reply alone, as OpenAI's do."""
    prompt = real.encoder.encode_text(PROMPT)
    reply = ask(real, prompt, temperature=0, **{field: 2.0})
    frequency, presence = (2.0, 0.0) if field == "frequency_penalty" else (0.0, 2.0)
    steps = [["penalties", 64, 1.0, frequency, presence], ["greedy"]]
    # The reference is given no prompt to remember: its window begins with the last token, which then does not count.
    program = CHAIN.replace('("dry", "penalties")', '("dry",)')
    arguments = (made_model(runtime_parts, "llama"), *map(json.dumps, (prompt, reply, steps, 0)))
    assert json.loads(reference.run_with_binding(runtime_parts, program, *arguments))[: len(reply)] == reply


def test_ignore_eos_goes_on(real: RealEngine) -> None:
    prompt = real.encoder.encode_text(PROMPT)
    end = real.encoder.token_groups().end[0]
    forced = {str(end): 100}
    assert ask(real, prompt, temperature=0, logit_bias=forced) == []
    assert len(ask(real, prompt, temperature=0, logit_bias=forced, ignore_eos=True)) == COUNT


def test_the_same_seed_gives_the_same_reply_whatever_runs_beside_it(real: RealEngine) -> None:
    prompt = real.encoder.encode_text(PROMPT)
    first = ask(real, prompt, **FILTERS)
    assert ask(real, prompt, **FILTERS) == first
    assert ask(real, prompt, **{**FILTERS, "seed": 9}) != first


def test_tokens_that_are_no_text_are_found_among_all(open_engine: Callable[..., RealEngine]) -> None:
    real = open_engine()
    model = real.encoder._model  # type: ignore[attr-defined]
    api, groups = model.library.api, real.encoder.token_groups()
    vocab = api.llama_model_get_vocab(model.pointer)
    every = range(groups.count)
    assert groups.count == api.llama_vocab_n_tokens(vocab)
    assert groups.end == tuple(token for token in every if api.llama_vocab_is_eog(vocab, token)) != ()
    control = [token for token in every if api.llama_vocab_is_control(vocab, token)]
    assert groups.control == tuple(token for token in control if token not in groups.end)
