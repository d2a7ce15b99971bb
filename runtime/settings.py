"""What this run uses: the settings baked into the file, overlaid with the command line, minus what is locked."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from packer.errors import InputError
from runtime.engine.sampling import SamplingParams

if TYPE_CHECKING:
    from packer.container.config import BundleConfig

DEFAULT_CONTEXT_TOKENS = 4096
FULL = "all that the model was made for"

OPTION_KEYS = {
    "temperature": "sampling.temperature",
    "seed": "sampling.seed",
    "max_tokens": "sampling.max_tokens",
    "system_prompt": "chat.system_prompt",
    "ctx_size": "context.size",
    "kv_type": "context.kv_type",
    "context_shift": "context.shift",
    "port": "server.port",
    "browser": "server.browser",
    "threads": "engine.threads",
    "repack": "engine.repack",
    "gpu": "gpu.use",
    "gpu_layers": "gpu.layers",
    "history": "history.enabled",
}
"""Command line option to configuration key."""


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What the command line asks for; ``None`` means that it says nothing."""

    temperature: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    system_prompt: str | None = None
    ctx_size: int | None = None
    kv_type: str | None = None
    context_shift: bool | None = None
    port: int | None = None
    browser: bool | None = None
    threads: int | None = None
    repack: str | None = None
    gpu: str | None = None
    gpu_layers: int | None = None
    history: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of this run. ``context_size`` 0 means the model's limit, ``threads`` 0 means automatic.

    ``gpu`` is ``auto``, ``off``, a backend or a device's name; ``gpu_layers`` -1 means as many as fit.
    """

    title: str
    system_prompt: str
    greeting: str
    starters: tuple[str, ...]
    sampling: SamplingParams
    max_tokens: int | None
    context_size: int
    kv_type: str
    context_shift: bool
    port: int
    port_is_explicit: bool
    browser: bool
    threads: int
    repack: str
    gpu: str
    gpu_layers: int
    history: bool
    history_name: str
    locked: frozenset[str]

    def is_locked(self, key: str) -> bool:
        """Tell whether the maker of the file fixed ``key``, itself or with its whole table."""
        return key in self.locked or key.partition(".")[0] in self.locked


@dataclass(frozen=True, kw_only=True)
class ContextChoice:
    """A context size in tokens and the reason for it."""

    size_tokens: int
    why: str


class LockedSettingError(InputError):
    """The command line asks for something that the maker of the file fixed."""


def merge_settings(config: BundleConfig, overrides: Overrides) -> Settings:
    """Combine configuration and command line. Raises LockedSettingError naming the option and the fixed value."""
    locked = frozenset(config.locked)
    settings = Settings(
        title=config.title,
        system_prompt=config.chat.system_prompt,
        greeting=config.chat.greeting,
        starters=tuple(config.chat.starters),
        sampling=_sampling(config.sampling),
        max_tokens=config.sampling.max_tokens,
        context_size=config.context.size,
        kv_type=config.context.kv_type,
        context_shift=config.context.shift,
        port=config.server.port,
        port_is_explicit=overrides.port is not None,
        browser=config.server.browser,
        threads=config.engine.threads,
        repack=config.engine.repack,
        gpu=config.gpu.use,
        gpu_layers=config.gpu.layers,
        history=config.history.enabled,
        history_name=config.history.name,
        locked=locked,
    )
    for option, key in OPTION_KEYS.items():
        if getattr(overrides, option) is not None and settings.is_locked(key):
            raise LockedSettingError(
                f"--{option.replace('_', '-')} can't be used: whoever packed this file fixed {key}; run it without"
            )
    return _apply(settings, overrides)


def _apply(settings: Settings, overrides: Overrides) -> Settings:
    changes: dict[str, Any] = {field.name: getattr(overrides, field.name) for field in fields(overrides)}
    changes = {name: value for name, value in changes.items() if value is not None}
    of_sampling = {name: changes.pop(name) for name in ("temperature", "seed") if name in changes}
    if "ctx_size" in changes:
        changes["context_size"] = changes.pop("ctx_size")
    return replace(settings, sampling=replace(settings.sampling, **of_sampling), **changes)


def _sampling(values: Any) -> SamplingParams:
    """Take the sampling settings that the configuration gives; it has no frequency and presence penalties."""
    names = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed")
    return SamplingParams(**{name: getattr(values, name) for name in names})


def choose_context(size: int, context_length: int) -> ContextChoice:
    """Choose the context size: ``size`` tokens (0: all the model has), at most ``context_length`` (0: unknown)."""
    if size == 0:
        return ContextChoice(size_tokens=context_length or DEFAULT_CONTEXT_TOKENS, why=FULL)
    if context_length and size > context_length:
        if size == DEFAULT_CONTEXT_TOKENS:
            return ContextChoice(size_tokens=context_length, why=FULL)
        return ContextChoice(size_tokens=context_length, why=f"the model's limit; {size:,} were asked for")
    if size == context_length:
        return ContextChoice(size_tokens=size, why=FULL)
    more = f"; the model allows {context_length:,}" if context_length else ""
    why = "default" if size == DEFAULT_CONTEXT_TOKENS else "as set"
    return ContextChoice(size_tokens=size, why=why + more)
