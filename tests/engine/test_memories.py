"""Recurrent, hybrid and sliding-window models: whatever is reused or cancelled, the tokens are llama.cpp's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runtime.engine.sequence import Finished, TextDelta
from tests.support import reference
from tests.support.made_models import made_model
from tests.support.real_engine import whole_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from packer.runtimes.recipe import RuntimeParts
    from tests.support.real_engine import RealEngine

ARCHITECTURES = ("mamba", "rwkv7", "jamba", "lfm2", "gemma2", "gemma3")
NEAR_TIE = 0.02
SYSTEM = "the water of the day is good and all the people know it. "
TURNS = ("hello there", "what is it now", "thank you so much", "good morning")

GREEDY_FROM_TOKENS = """
model = L.llama_model_load_from_file(sys.argv[1].encode(), L.llama_model_default_params())
vocab = L.llama_model_get_vocab(model)
settings = L.llama_context_default_params()
settings.n_ctx, settings.n_threads, settings.n_threads_batch = 1024, 1, 1
replies, size = [], L.llama_vocab_n_tokens(vocab)
for prompt, count in json.loads(sys.argv[2]):
    context = L.llama_init_from_model(model, settings)
    tokens, found = prompt, []
    while len(found) < count:
        batch = (L.llama_token * len(tokens))(*tokens)
        assert L.llama_decode(context, L.llama_batch_get_one(batch, len(tokens))) == 0
        row = L.llama_get_logits_ith(context, -1)[:size]
        second, first = sorted(range(size), key=lambda token: row[token])[-2:]
        tokens = [first]
        found.append([-1 if L.llama_vocab_is_eog(vocab, first) else first, row[first] - row[second]])
        if found[-1][0] < 0:
            break
    replies.append(found)
    L.llama_free(context)
print(json.dumps(replies))
"""


def check(parts: RuntimeParts, architecture: str, found: list[tuple[list[int], int, tuple[int, ...]]]) -> None:
    """Compare replies, given with their prompts and limits, with those of a fresh context for each.

    Batches round differently than single tokens, so where two tokens are as good as equally likely, either is right,
    and the comparison ends.
    """
    wanted = json.dumps([[prompt, count] for prompt, count, _reply in found])
    model = made_model(parts, architecture)
    expected = json.loads(reference.run_with_binding(parts, GREEDY_FROM_TOKENS, model, wanted))
    for (_prompt, count, reply), steps in zip(found, expected, strict=True):
        ours = [*reply, -1] if len(reply) < count else list(reply)
        for index, (token, margin) in enumerate(steps):
            if margin < NEAR_TIE:
                break
            assert ours[index] == token, f"token {index} of {len(steps)}"
        else:
            assert len(ours) == len(steps)


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def real(open_engine: Callable[..., RealEngine], runtime_parts: RuntimeParts, architecture: str) -> RealEngine:
    return open_engine(made_model(runtime_parts, architecture), context_size=1024, num_slots=3)


def test_a_chat_of_several_turns(real: RealEngine, runtime_parts: RuntimeParts, architecture: str) -> None:
    """Each turn is the turns before it, the reply included, and more: the kind of reuse that all memories allow."""
    prompt, found, reused = real.encoder.encode_text(SYSTEM), [], []
    for turn in TURNS:
        prompt = [*prompt, *real.encoder.encode_text(turn)[1:]]
        reply = real.generate(prompt, max_tokens=12)
        found.append((prompt, 12, reply.finished.token_ids))
        reused.append(reply.finished.usage.num_reused_tokens)
        prompt = [*prompt, *reply.finished.token_ids]
    check(runtime_parts, architecture, found)
    assert reused[0] == 0
    assert all(reused[1:]), "nothing is reused"


def test_chats_that_part_from_each_other(real: RealEngine, runtime_parts: RuntimeParts, architecture: str) -> None:
    """The same beginning with other endings, regenerated, and with a past that is cut: recurrent states can't be."""
    found = []
    for turn in (*TURNS, *TURNS[:2]):
        prompt = real.encoder.encode_text(SYSTEM + turn)
        found.append((prompt, 10, real.generate(prompt, max_tokens=10).finished.token_ids))
    check(runtime_parts, architecture, found)


def test_cancelling_harms_nobody(real: RealEngine, runtime_parts: RuntimeParts, architecture: str) -> None:
    prompts = [real.encoder.encode_text(SYSTEM + turn) for turn in TURNS]
    gone, stays = real.submit(prompts[0], max_tokens=400), real.submit(prompts[1], max_tokens=60)
    assert isinstance(gone.poll(20), TextDelta)
    gone.cancel()
    found = [(prompts[1], 60, whole_reply(stays).finished.token_ids)]
    last = list(gone.events())[-1]
    assert isinstance(last, Finished)
    assert last.reason == "cancelled"
    again = [*prompts[0], *last.token_ids, *real.encoder.encode_text("and")[1:]]
    found += [(prompt, 20, real.generate(prompt, max_tokens=20).finished.token_ids) for prompt in (again, prompts[0])]
    check(runtime_parts, architecture, found)


def test_streams_side_by_side(real: RealEngine, runtime_parts: RuntimeParts, architecture: str) -> None:
    """More streams than slots, of different lengths, so that they join and leave while others run."""
    prompts = [real.encoder.encode_text(SYSTEM * (1 + index % 2) + turn) for index, turn in enumerate(TURNS)]
    handles = [(prompt, real.submit(prompt, max_tokens=10 + 5 * index)) for index, prompt in enumerate(prompts)]
    found = [
        (prompt, 10 + 5 * index, whole_reply(handle).finished.token_ids)
        for index, (prompt, handle) in enumerate(handles)
    ]
    check(runtime_parts, architecture, found)


def test_a_prompt_longer_than_the_window(real: RealEngine, runtime_parts: RuntimeParts, architecture: str) -> None:
    prompt = real.encoder.encode_text(SYSTEM * 6)
    found = [(prompt, 20, real.generate(prompt, max_tokens=20).finished.token_ids)]
    cut = prompt[: len(prompt) // 2]
    found.append((cut, 20, real.generate(cut, max_tokens=20).finished.token_ids))
    check(runtime_parts, architecture, found)
