"""A shifted context gives the tokens that llama.cpp itself gives for the same shift."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import reference
from tests.support.made_models import made_model
from tests.support.real_engine import whole_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from packer.runtimes.recipe import RuntimeParts
    from tests.support.real_engine import RealEngine

CONTEXT_TOKENS, NUM_KEEP, NUM_TOKENS = 256, 5, 600

SHIFTED = """
path, tokens, size, keep, count = sys.argv[1].encode(), json.loads(sys.argv[2]), *map(int, sys.argv[3:])
model = L.llama_model_load_from_file(path, L.llama_model_default_params())
settings = L.llama_context_default_params()
settings.n_ctx, settings.n_threads, settings.n_threads_batch = size, 1, 1
context = L.llama_init_from_model(model, settings)
memory, sampler = L.llama_get_memory(context), L.llama_sampler_init_greedy()
found, past = [], 0
while len(found) < count:
    batch = (L.llama_token * len(tokens))(*tokens)
    assert L.llama_decode(context, L.llama_batch_get_one(batch, len(tokens))) == 0
    past += len(tokens)
    tokens = [L.llama_sampler_sample(sampler, context, -1)]
    found += tokens
    if past + 1 >= size:
        drop = (past + 1 - keep) // 2
        assert L.llama_memory_seq_rm(memory, 0, keep, keep + drop)
        L.llama_memory_seq_add(memory, 0, keep + drop, -1, -drop)
        past -= drop
print(json.dumps(found))
"""


def test_the_tokens_are_those_of_llama_cpp(open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts) -> None:
    model = made_model(runtime_parts, "llama")
    real = open_engine(model, context_size=CONTEXT_TOKENS, context_shift=True)
    prompt = real.encoder.encode_text("Hello there, good morning")
    reply = real.generate(prompt, max_tokens=NUM_TOKENS, num_keep=NUM_KEEP)
    assert reply.finished.reason == "length"
    assert len(reply.finished.token_ids) == NUM_TOKENS
    program = (SHIFTED, model, json.dumps(prompt), CONTEXT_TOKENS, NUM_KEEP, NUM_TOKENS)
    assert list(reply.finished.token_ids) == json.loads(reference.run_with_binding(runtime_parts, *program))


def test_the_default_is_to_end_where_the_context_does(open_engine: Callable[..., RealEngine]) -> None:
    reply = open_engine(context_size=CONTEXT_TOKENS).generate("Hello", max_tokens=NUM_TOKENS)
    assert reply.finished.reason in {"length", "stop"}
    assert reply.finished.usage.num_generated_tokens < CONTEXT_TOKENS


def test_two_chats_with_one_beginning_are_shifted_apart(open_engine: Callable[..., RealEngine]) -> None:
    real = open_engine(context_size=512, context_shift=True, num_slots=2)
    prompt = real.encoder.encode_text("the water of the day " * 8)
    alone = real.generate(prompt, max_tokens=100).finished.token_ids
    long, short = real.submit(prompt, max_tokens=900), real.submit(prompt, max_tokens=100)
    assert len(whole_reply(short).finished.token_ids) == len(alone)
    assert whole_reply(long).finished.usage.num_generated_tokens <= 900


@pytest.mark.parametrize(("architecture", "kv_type"), [("mamba", "f16"), ("jamba", "f16"), ("llama", "q8_0")])
def test_memories_that_cannot_shift_say_so_and_end(
    open_engine: Callable[..., RealEngine],
    runtime_parts: RuntimeParts,
    caplog: pytest.LogCaptureFixture,
    architecture: str,
    kv_type: str,
) -> None:
    real = open_engine(made_model(runtime_parts, architecture), context_size=2048, context_shift=True, kv_type=kv_type)
    assert "can't be shifted" in caplog.text
    runner = real.engine._runner
    assert runner is not None
    assert not runner.can_shift
    prompt = [400] * 1900
    reply = real.generate(prompt, max_tokens=1000)
    assert reply.finished.reason == "length"
    assert len(prompt) + reply.finished.usage.num_generated_tokens == 2048
