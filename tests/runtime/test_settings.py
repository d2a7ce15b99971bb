"""Baked-in settings, the command line over them, and what is locked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from packer.container import config
from packer.container.config import parse_config
from runtime.engine.sequence import Finished
from runtime.llama import kv_types
from runtime.settings import LockedSettingError, Overrides, Settings, choose_context, merge_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.chat_service import ChatService

USER = {"role": "user", "content": "hi"}
CONFIG = """
title = "Helper"
locked = []
[chat]
system_prompt = "be kind"
[sampling]
temperature = 0.2
max_tokens = 100
[context]
size = 2048
[server]
port = 9000
"""


def merge(text: str = CONFIG, **overrides: Any) -> Settings:
    return merge_settings(parse_config(text, "test"), Overrides(**overrides))


def test_the_file_decides_without_options() -> None:
    settings = merge()
    assert settings.title == "Helper"
    assert (settings.sampling.temperature, settings.max_tokens) == (0.2, 100)
    assert (settings.context_size, settings.port, settings.port_is_explicit) == (2048, 9000, False)


def test_options_win() -> None:
    settings = merge(
        temperature=0.0, seed=7, max_tokens=5, system_prompt="", ctx_size=0, port=0, browser=False, threads=3
    )
    assert (settings.sampling.temperature, settings.sampling.seed, settings.max_tokens) == (0.0, 7, 5)
    assert (settings.system_prompt, settings.context_size, settings.port) == ("", 0, 0)
    assert (settings.port_is_explicit, settings.browser, settings.threads) == (True, False, 3)


@pytest.mark.parametrize(
    ("key", "option"),
    [
        ("chat.system_prompt", {"system_prompt": "x"}),
        ("sampling.temperature", {"temperature": 0.2}),
        ("sampling.seed", {"seed": 1}),
        ("sampling.max_tokens", {"max_tokens": 1}),
        ("context.size", {"ctx_size": 1}),
        ("context.kv_type", {"kv_type": "q4_0"}),
        ("context.shift", {"context_shift": True}),
        ("server.port", {"port": 1}),
        ("server.browser", {"browser": False}),
        ("engine.threads", {"threads": 1}),
    ],
)
def test_locked_keys_refuse_their_option(key: str, option: dict[str, Any]) -> None:
    text = CONFIG.replace("locked = []", f'locked = ["{key}"]')
    assert merge(text).is_locked(key)
    name = next(iter(option)).replace("_", "-")
    with pytest.raises(LockedSettingError, match=rf"--{name} can't be used.*{key}"):
        merge(text, **option)


@pytest.mark.parametrize(
    ("size", "length", "expected", "why"),
    [
        (4096, 32768, 4096, "default; the model allows 32,768"),
        (2048, 32768, 2048, "as set; the model allows 32,768"),
        (0, 32768, 32768, "all that the model"),
        (4096, 1024, 1024, "all that the model was made for"),
        (5000, 1024, 1024, "the model's limit; 5,000 were asked for"),
        (4096, 4096, 4096, "all that the model"),
        (4096, 0, 4096, "default"),
        (0, 0, 4096, "all that"),
    ],
)
def test_context_size(size: int, length: int, expected: int, why: str) -> None:
    choice = choose_context(size, length)
    assert choice.size_tokens == expected
    assert choice.why.startswith(why)


def test_the_system_prompt_comes_first_unless_the_request_has_one(service_factory: Callable[..., ChatService]) -> None:
    service = service_factory(system_prompt="be kind")
    own = {"role": "system", "content": "be rude"}
    assert service.with_system_prompt([USER]) == [{"role": "system", "content": "be kind"}, USER]
    assert service.with_system_prompt([own, USER]) == [own, USER]
    assert service.with_system_prompt([{**own, "role": "developer"}, USER]) == [own, USER]


def test_a_locked_system_prompt_replaces_any_other(service_factory: Callable[..., ChatService]) -> None:
    service = service_factory(system_prompt="be kind", locked=frozenset({"chat.system_prompt"}))
    attempt = [{"role": "developer", "content": "a"}, USER, {"role": "system", "content": "b"}]
    assert service.with_system_prompt(attempt) == [{"role": "system", "content": "be kind"}, USER]


def test_requests_may_not_override_locked_sampling(
    service_factory: Callable[..., ChatService], monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.chat_service import ChatRequest

    service = service_factory(locked=frozenset({"sampling.temperature", "sampling.max_tokens"}), max_tokens=3)
    seen: list[Any] = []
    submit = service.engine.submit
    monkeypatch.setattr(service.engine, "submit", lambda request: (seen.append(request), submit(request))[1])
    handle = service.start_chat(ChatRequest(messages=(USER,), sampling={"temperature": 2.0, "top_k": 5}, max_tokens=50))
    finished = list(handle.events())[-1]
    assert isinstance(finished, Finished)
    assert finished.usage.num_generated_tokens == 3
    assert seen[0].sampling == replace(service.settings.sampling, top_k=5)


def test_formats_of_the_kv_cache_are_those_that_can_be_made() -> None:
    assert tuple(kv_types.KV_TYPES) == config.KV_TYPES


def test_the_kv_cache_as_set() -> None:
    packed = parse_config("[context]\nkv_type = 'q8_0'\nshift = true", "test")
    settings = merge_settings(packed, Overrides())
    assert (settings.kv_type, settings.context_shift) == ("q8_0", True)
    settings = merge_settings(packed, Overrides(kv_type="f16", context_shift=False))
    assert (settings.kv_type, settings.context_shift) == ("f16", False)
