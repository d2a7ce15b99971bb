"""A packed prompt on the artifact: the first request ever reads only what is new, and everything else is a miss."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from packer.container.reader import open_bundle
from tests.support import program

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM_PROMPT = "You are a patient gardener who answers in plain words and never forgets to mention the soil. " * 5
QUESTION = "What grows in the shade?"
NUM_TEMPLATE_TOKENS = 9
"""What the chat template writes before any system prompt; it is shared with the packed one, which is read at start."""


@pytest.fixture(scope="module")
def packed_prompt(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a system prompt that was read when it was packed."""
    return build(tiny_model, tmp_path_factory.mktemp("prompt") / "chat", "always")


def build(model: Path, output: Path, mode: str, *more: object) -> Path:
    """Pack the model with the system prompt; there must be nothing else in the directory afterwards."""
    done = program.packer(
        "build", model, "-o", output, "--system-prompt", SYSTEM_PROMPT, "--prompt-cache", mode, "--gpu", "none", *more
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in output.parent.iterdir() if path.name.startswith(".")] == []
    return output


def first_answer(path: Path, cache: Path, *options: str) -> tuple[str, int, int]:
    """Text, prompt tokens and cached ones of the first request ever to a program that has just started."""
    body = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 16, "temperature": 0}
    with program.Launcher(path, cache).serving(*options) as server:
        answer: dict[str, Any] = server.json("/v1/chat/completions", body)
        assert server.stop() == 0
    usage = answer["usage"]
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return answer["choices"][0]["message"]["content"], usage["prompt_tokens"], cached


def test_the_first_request_ever_begins_with_the_packed_prompt(
    packed_prompt: Path, tiny_model: Path, runtime_cache: Path, tmp_path: Path
) -> None:
    plain = build(tiny_model, tmp_path / "plain", "never")
    text, num_prompt, cached = first_answer(packed_prompt, runtime_cache)
    assert num_prompt - len(QUESTION) - 40 < cached < num_prompt
    assert first_answer(plain, runtime_cache) == (text, num_prompt, 0)


@pytest.mark.parametrize(
    ("options", "num_shared"),
    [(["--kv-type", "q8_0"], 0), (["--system-prompt", "Be rude."], NUM_TEMPLATE_TOKENS)],
    ids=["kv type", "system prompt"],
)
def test_other_settings_are_a_miss(
    packed_prompt: Path, tiny_model: Path, runtime_cache: Path, tmp_path: Path, options: list[str], num_shared: int
) -> None:
    plain = build(tiny_model, tmp_path / "plain", "never")
    text, num_prompt, cached = first_answer(packed_prompt, runtime_cache, *options)
    assert cached == num_shared < num_prompt
    assert first_answer(plain, runtime_cache, *options) == (text, num_prompt, 0)


def test_a_damaged_state_is_a_miss(packed_prompt: Path, runtime_cache: Path, tmp_path: Path) -> None:
    expected = first_answer(packed_prompt, runtime_cache)
    damaged = tmp_path / "chat"
    shutil.copy2(packed_prompt, damaged)
    with open_bundle(damaged) as bundle:
        entry = bundle.entries["model/prompts/1.state"]
        assert entry.data_offset_bytes % 65536 == 0
    with damaged.open("r+b") as stream:
        stream.seek(entry.data_offset_bytes + entry.size_bytes // 2)
        stream.write(b"\xff" * 4096)
    assert first_answer(damaged, runtime_cache) == (*expected[:2], 0)
    done = program.packer("verify", damaged)
    assert done.returncode == 5
    assert "model/prompts/1.state" in done.stderr


def test_sizes_are_shown_and_a_large_state_is_left_out(tiny_model: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        '[[prompt_cache]]\nname = "examples"\nmessages = [{ role = "user", content = "' + "a b " * 200 + '"}]\n'
    )
    for mode, is_packed in (("always", True), ("auto", None), ("never", False)):
        output = tmp_path / mode
        done = program.packer(
            "build", tiny_model, "-c", config, "-o", output, "--prompt-cache", mode, "--gpu", "none", "--json"
        )
        assert done.returncode == 0, done.stderr
        found = [one["packed"] for one in json.loads(done.stdout)["prompts"]]
        with open_bundle(output) as bundle:
            names = [name for name in bundle.entries if name.startswith("model/prompts/")]
            assert [prompt.entry for prompt in bundle.manifest.prompts] == names
        assert len(names) == sum(found)
        if is_packed is None:
            limit = tiny_model.stat().st_size // 10
            assert all(one["size_bytes"] <= limit for one in json.loads(done.stdout)["prompts"] if one["packed"])
            assert ("left out" in done.stderr) == (not names)
        else:
            assert bool(names) == is_packed
            assert ("tokens already read" in done.stderr) == is_packed


def test_a_model_beside_the_program_is_known_by_its_digest(
    tiny_model: Path, runtime_cache: Path, tmp_path: Path
) -> None:
    packed = build(tiny_model, tmp_path / "chat", "always", "--split-at", "1MB")
    assert (tmp_path / "chat.gguf").exists()
    assert first_answer(packed, runtime_cache)[2] > 0
    assert first_answer(packed, runtime_cache, "--model", str(tmp_path / "chat.gguf"))[2] == 0


def test_timings_show_that_the_page_is_open_before_the_model_is_loaded(
    packed_prompt: Path, runtime_cache: Path
) -> None:
    launcher = program.Launcher(packed_prompt, runtime_cache)
    done = launcher.run("-p", "Hello", "--max-tokens", "1", "--timings")
    assert done.returncode == 0, done.stderr
    names = [line[:22].strip() for line in done.stderr.splitlines()]
    assert names[:4] == ["start, ms", "launcher", "unpack", "Python"]
    assert names[-1] == "first token"
    with launcher.serving("--timings", "--json") as server:
        server.stop()
        assert server.process.stderr is not None
        told = json.loads(server.process.stderr.readline())["start"]
    begins = {part["name"]: part["begin_s"] for part in told}
    assert begins["port open"] < begins["model"] < begins["context"] < begins["ready"]
    assert begins["page and API"] < begins["ready"]
