"""Restored prompts on real models: the same greedy tokens as read ones, and a miss whenever anything is different."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import pytest

from packer.container.prompt_states import pack_head, state_key
from runtime.engine.sampling import SamplingParams
from runtime.llama.model import ModelFile, load_model
from runtime.prompt_states.making import read_prompt
from runtime.prompt_states.stored import PromptFile, PromptFiles
from tests.support.made_models import made_model
from tests.support.tiny_model import EOS_ID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts
    from runtime.llama.library import Library
    from tests.support.real_engine import RealEngine

PROMPT = [1, *range(300, 500)]
GREEDY = SamplingParams(temperature=0.0, logit_bias=((EOS_ID, -1e9), (2, -1e9)))
OFFSET_BYTES = 65536


def packed(
    library: Library, model_path: Path, directory: Path, *, tokens: list[int] = PROMPT, kv_type: str = "f16"
) -> PromptFiles:
    """Read a prompt and write it down as packing does, behind other bytes."""
    model = load_model(library, ModelFile(path=model_path))
    try:
        entry = pack_head(tokens) + bytes(read_prompt(model, tokens, kv_type))
    finally:
        model.close()
    path = directory / "file"
    path.write_bytes(bytes(OFFSET_BYTES) + entry)
    key = state_key(model_sha256="m", adapters=(), kv_type=kv_type, llama_cpp="1", tokens=tokens)
    file = PromptFile(path=path, offset_bytes=OFFSET_BYTES, size_bytes=len(entry), crc32=zlib.crc32(entry), key=key)
    return PromptFiles(files=(file,), model_sha256="m", adapters=(), llama_cpp="1")


def reply(real: RealEngine, prompt: list[int], count: int = 24) -> tuple[tuple[int, ...], int]:
    """The greedy tokens after a prompt, and how much of it was not read."""
    finished = real.generate(prompt, max_tokens=count, sampling=GREEDY).finished
    return finished.token_ids, finished.usage.num_reused_tokens


def test_the_first_request_goes_on_from_a_restored_prompt(
    open_engine: Callable[..., RealEngine], library: Library, tiny_model: Path, tmp_path: Path
) -> None:
    prompts = packed(library, tiny_model, tmp_path)
    ours, plain = open_engine(prompts=prompts), open_engine()
    assert reply(plain, PROMPT, 1)[1] == 0, "reads the prompt in one batch, as packing does: others round differently"
    assert reply(ours, [*PROMPT, 250, 251]) == reply(plain, [*PROMPT, 250, 251])
    assert reply(open_engine(prompts=prompts), [*PROMPT, 250, 251])[1] == len(PROMPT)
    cut = [*PROMPT[:150], 270]
    assert reply(ours, cut) == reply(open_engine(prompts=prompts), cut), "from the cache, and restored and cut"
    assert reply(ours, cut) == reply(plain, cut)


def test_a_restored_prompt_outlives_growing(
    open_engine: Callable[..., RealEngine], library: Library, tiny_model: Path, tmp_path: Path
) -> None:
    ours = open_engine(
        context_size=2048, first_cells=256, prompts=packed(library, tiny_model, tmp_path, tokens=PROMPT[:100])
    )
    before = ours.engine.current_load().num_cells
    prompt = [*PROMPT[:100], 250]
    grown = reply(ours, prompt, 1500)
    assert ours.engine.current_load().num_cells > before
    plain = open_engine(context_size=2048, first_cells=2048)
    reply(plain, PROMPT[:100], 1)
    assert grown == reply(plain, prompt, 1500)
    assert grown[1] == 100


@pytest.mark.parametrize("architecture", ["mamba", "rwkv7", "jamba", "lfm2", "gemma2", "gemma3"])
def test_memories_that_can_not_be_cut(
    open_engine: Callable[..., RealEngine],
    library: Library,
    runtime_parts: RuntimeParts,
    architecture: str,
    tmp_path: Path,
) -> None:
    """Each chat gets its own copy of the whole, and one that shares a part reads what it must."""
    model = made_model(runtime_parts, architecture)
    ours = open_engine(model, context_size=1024, num_slots=2, prompts=packed(library, model, tmp_path))
    plain = open_engine(model, context_size=1024, num_slots=2)
    for ending in (250, 251, 252):
        found, reused = reply(ours, [*PROMPT, ending], 8)
        assert reused == len(PROMPT)
        assert found == reply(plain, [*PROMPT, ending], 8)[0]
    cut = [*PROMPT[:150], 270]
    assert reply(ours, cut, 8)[0] == reply(plain, cut, 8)[0]


def test_other_kinds_of_cache_and_model_are_misses(
    open_engine: Callable[..., RealEngine], library: Library, tiny_model: Path, tmp_path: Path
) -> None:
    prompts = packed(library, tiny_model, tmp_path)
    prompt = [*PROMPT, 250]
    for changed in ({"kv_type": "q8_0"}, {"prompts": replaced(prompts, model_sha256="other")}):
        assert reply(open_engine(**{"prompts": prompts, **changed}), prompt)[1] == 0, changed
    assert reply(open_engine(prompts=replaced(prompts, llama_cpp="2")), prompt)[1] == 0
    eight_bits = packed(library, tiny_model, tmp_path, kv_type="q8_0")
    assert reply(open_engine(kv_type="q8_0", prompts=eight_bits), prompt)[1] == len(PROMPT)


def replaced(prompts: PromptFiles, **changes: Any) -> PromptFiles:
    return PromptFiles(**{**prompts.__dict__, **changes})


@pytest.mark.parametrize("where", ["head", "state", "cut"])
def test_damage_is_a_miss(
    open_engine: Callable[..., RealEngine], library: Library, tiny_model: Path, tmp_path: Path, where: str
) -> None:
    prompts = packed(library, tiny_model, tmp_path)
    content = bytearray(prompts.files[0].path.read_bytes())
    if where == "cut":
        del content[-100:]
    else:
        content[OFFSET_BYTES + 20 if where == "head" else len(content) // 2] ^= 1
    prompts.files[0].path.write_bytes(content)
    prompt = [*PROMPT, 250]
    assert reply(open_engine(prompts=prompts), prompt) == (reply(open_engine(), prompt)[0], 0)


def test_a_state_that_llama_cpp_refuses_is_a_miss(
    open_engine: Callable[..., RealEngine],
    library: Library,
    tiny_model: Path,
    runtime_parts: RuntimeParts,
    tmp_path: Path,
) -> None:
    """The key says otherwise, but the state is another model's."""
    prompts = packed(library, made_model(runtime_parts, "gemma2"), tmp_path)
    prompt = [*PROMPT, 250]
    assert reply(open_engine(prompts=prompts), prompt) == (reply(open_engine(), prompt)[0], 0)
