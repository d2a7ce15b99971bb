"""Packed prompt states: their layout, their keys, which prompts are read, and how the settings list them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.commands.console import size_in_words
from packer.container import prompt_states
from packer.container.cached_prompts import CachedPrompt
from packer.container.config import BundleConfig, ChatConfig, dump_config, parse_config
from packer.errors import InputError
from packer.prompt_states import PreparedPrompt, PromptOrder, in_words

LONG = "Answer politely, in one sentence, and never mention the weather. " * 3
FACTS: dict[str, Any] = {
    "model_sha256": "aa",
    "adapters": [("bb", 0.5)],
    "kv_type": "f16",
    "llama_cpp": "0c1e57098",
    "tokens": [1, 2, 3],
}


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=200))
def test_a_head_gives_its_tokens_back(tokens: list[int]) -> None:
    head = prompt_states.pack_head(tokens)
    assert len(head) % prompt_states.STATE_ALIGNMENT_BYTES == 0
    assert prompt_states.head_bytes(head[: prompt_states.PREAMBLE.size], len(head) + 1) == len(head)
    assert prompt_states.parse_tokens(head) == tokens


@given(st.binary(max_size=64), st.integers(0, 2**40))
def test_any_bytes_are_a_head_or_refused(preamble: bytes, entry_bytes: int) -> None:
    try:
        size = prompt_states.head_bytes(preamble, entry_bytes)
    except ValueError:
        return
    assert size < entry_bytes


def test_a_head_that_claims_more_than_there_is_is_refused() -> None:
    head = prompt_states.pack_head([5] * 100)
    with pytest.raises(ValueError, match="claims 100 tokens in 64 bytes"):
        prompt_states.head_bytes(head, 64)
    with pytest.raises(ValueError, match="version"):
        prompt_states.head_bytes(b"x" + head[1:], 10_000)


@pytest.mark.parametrize(
    "change",
    [
        {"model_sha256": "ab"},
        {"adapters": []},
        {"adapters": [("bb", 1.0)]},
        {"kv_type": "q8_0"},
        {"llama_cpp": "1"},
        {"tokens": [1, 2]},
        {"tokens": [1, 2, 4]},
    ],
)
def test_whatever_a_state_depends_on_changes_its_key(change: dict[str, Any]) -> None:
    assert prompt_states.state_key(**{**FACTS, **change}) != prompt_states.state_key(**FACTS)
    assert prompt_states.state_key(**FACTS) == prompt_states.state_key(**FACTS)


def order(mode: str, system_prompt: str = LONG, listed: tuple[CachedPrompt, ...] = ()) -> PromptOrder:
    config = BundleConfig(chat=ChatConfig(system_prompt=system_prompt), prompt_cache=listed)
    return PromptOrder(model=Path("m.gguf"), model_bytes=1000, adapters=(), config=config, mode=mode)


def test_which_prompts_are_read() -> None:
    listed = CachedPrompt(name="manual", text="Chapter 1")
    assert [one.name for one in order("auto").prompts] == ["system prompt"]
    assert order("auto", "Be brief.").prompts == []
    assert [one.name for one in order("always", "Be brief.").prompts] == ["system prompt"]
    assert [one.name for one in order("auto", "", (listed,)).prompts] == ["manual"]
    assert order("never", LONG, (listed,)).prompts == []


def test_the_limit_is_a_tenth_of_the_model_unless_always() -> None:
    assert order("auto").limit_bytes == 100
    assert order("always").limit_bytes is None


def test_what_became_of_a_prompt_is_a_sentence() -> None:
    wanted = order("auto")
    large = PreparedPrompt(name="system prompt", num_tokens=1012, size_bytes=58_000_000, path=None, why="large")
    text = in_words(large, wanted, size_in_words)
    assert "1,012 tokens" in text
    assert "58.0 MB" in text
    assert "--prompt-cache always" in text
    assert 'kv_type = "q8_0"' in text
    kept = replace(large, path=Path("0.state"), why=None)
    assert in_words(kept, wanted, size_in_words) == "Prompt: system prompt, 1,012 tokens already read, 58.0 MB"
    refused = replace(large, why="the template refuses it")
    assert in_words(refused, wanted, size_in_words).endswith("is not packed: the template refuses it")
    assert "in an instant" in in_words(replace(large, why="short"), wanted, size_in_words)


TABLES = """
[[prompt_cache]]
name = "manual"
text = "Chapter 1"

[[prompt_cache]]
name = "examples"
system_prompt = "Translate."
messages = [{ role = "user", content = "Haus" }, { role = "assistant", content = "house" }]

[[prompt_cache]]
name = "tools"
tools = '[{"type": "function", "function": {"name": "now"}}]'
"""


def test_prompts_listed_in_the_settings() -> None:
    config = parse_config(TABLES, "c.toml")
    manual, examples, tools = config.prompt_cache
    assert manual == CachedPrompt(name="manual", text="Chapter 1")
    assert examples.messages == (("user", "Haus"), ("assistant", "house"))
    assert tools.tools is not None
    assert parse_config(dump_config(config), "again") == config


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("text = 'x'", "prompt_cache 1: name: expected a string"),
        ("name = 'a'", "prompt_cache 1: expected text, system_prompt, messages or tools"),
        ("name = 'a'\ntext = 1", "prompt_cache 1: text: expected a string, found int"),
        ("name = 'a'\ntext = 'x'\ntools = '[]'", "prompt_cache 1: text stands alone"),
        ("name = 'a'\ntxt = 'x'", "'txt' is no known key"),
        ("name = 'a'\nmessages = [{ role = 'user' }]", "messages 1: expected role and content"),
        ("name = 'a'\nmessages = [{ role = 'me', content = '' }]", "messages 1: expected a role of system"),
        ("name = 'a'\nmessages = 3", "messages: expected a list"),
        ("name = 'a'\ntools = '{}'", "tools: expected JSON, a list"),
        ("name = 'a'\ntools = '[[[[['", "tools: expected JSON"),
    ],
)
def test_a_wrong_table_is_named(table: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_config(f"[[prompt_cache]]\n{table}", "c.toml")
    assert words in str(caught.value)
    assert str(caught.value).startswith("c.toml: ")


def test_prompt_cache_has_to_be_tables() -> None:
    with pytest.raises(InputError, match=r"prompt_cache: expected tables, \[\[prompt_cache\]\], found str"):
        parse_config("prompt_cache = 'x'", "c.toml")
