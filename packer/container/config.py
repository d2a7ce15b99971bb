"""The settings baked into a bundle: ``config.toml``, parsed into frozen dataclasses and written back canonically.

Every problem of a file is collected and reported at once, each with its key path, what was expected, what was found
and in which file. Unknown keys are errors, with the nearest known key suggested. Only the standard library is used:
the frozen runtime reads its settings with this module.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packer.container import cached_prompts
from packer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packer.container.cached_prompts import CachedPrompt

MAX_CONFIG_BYTES = 4 * 1024 * 1024
MAX_SHOWN_CHARACTERS = 80
MAX_SCALE = 100
KV_TYPES = ("f16", "q8_0", "q4_0")
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a value must be: one of ``kinds`` and, for numbers, between ``low`` and ``high``; or one of ``choices``."""

    kinds: tuple[type, ...]
    words: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    def problem(self, value: Any) -> str | None:
        """Say what was expected and found, or ``None`` when ``value`` is fine."""
        fits = type(value) in self.kinds
        if fits and isinstance(value, (list, tuple)):
            fits = all(type(item) is str and _is_unicode(item) for item in value)
        if fits and isinstance(value, str):
            fits = _is_unicode(value)
        if fits and self.choices:
            fits = value in self.choices
        if fits and type(value) in (int, float):
            fits = self.low <= value <= self.high
        return None if fits else f"expected {self.words}, found {_shown(value)}"

    def canonical(self, value: Any) -> Any:
        """The one form of ``value``, which has no problem: lists as tuples, numbers that may be fractions as floats."""
        if isinstance(value, list):
            return tuple(value)
        return float(value) if float in self.kinds else value


def _is_unicode(text: str) -> bool:
    """Tell whether ``text`` can be written as UTF-8: arguments that are not come with lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _shown(value: Any) -> str:
    try:
        text = ascii(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


TEXT = Rule(kinds=(str,), words="a string")
TEXTS = Rule(kinds=(list, tuple), words="a list of strings")
SWITCH = Rule(kinds=(bool,), words="true or false")


def whole(low: int, high: int, words: str) -> Rule:
    """A rule for a whole number from ``low`` to ``high``."""
    return Rule(kinds=(int,), words=f"{words} from {low} to {high}", low=low, high=high)


def number(low: float, high: float) -> Rule:
    """A rule for a number from ``low`` to ``high``."""
    return Rule(kinds=(int, float), words=f"a number from {low:g} to {high:g}", low=low, high=high)


def one_of(*choices: str) -> Rule:
    """A rule for one of a few words."""
    return Rule(kinds=(str,), words=f"one of {', '.join(choices)}", choices=choices)


def _ruled(default: Any, rule: Rule) -> Any:
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class ChatConfig:
    """What the chat says and offers: instructions, a first message, starter prompts shown as buttons."""

    system_prompt: str = _ruled("", TEXT)
    greeting: str = _ruled("", TEXT)
    starters: tuple[str, ...] = _ruled((), TEXTS)


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Defaults for requests that do not say otherwise; ``None`` leaves it to chance (seed) or the context."""

    temperature: float = _ruled(0.7, number(0, 5))
    top_k: int = _ruled(40, whole(0, 1_000_000, "a whole number"))
    top_p: float = _ruled(0.95, number(0, 1))
    min_p: float = _ruled(0.05, number(0, 1))
    repeat_penalty: float = _ruled(1.0, number(0.01, 10))
    seed: int | None = _ruled(None, whole(0, 2**32 - 1, "a whole number"))
    max_tokens: int | None = _ruled(None, whole(1, 2**31 - 1, "a whole number"))


@dataclass(frozen=True, kw_only=True)
class ContextConfig:
    """``size`` in tokens; 0 means all that the model was trained for.

    ``kv_type`` is the number format of the KV cache. With ``shift``, a chat that outgrows the context loses its oldest
    part instead of ending.
    """

    size: int = _ruled(4096, whole(0, 2**31 - 1, "a number of tokens"))
    kv_type: str = _ruled("f16", one_of(*KV_TYPES))
    shift: bool = _ruled(False, SWITCH)


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Where it listens on the loopback interface and whether the browser opens."""

    port: int = _ruled(8080, whole(1, 65535, "a port"))
    browser: bool = _ruled(True, SWITCH)


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """``threads`` for computing; 0 chooses from the cores really available.

    ``repack`` says whether weights are rearranged in memory for this processor; ``auto``: where memory is plenty.
    """

    threads: int = _ruled(0, whole(0, 1024, "a number of threads"))
    repack: str = _ruled("auto", one_of("auto", "on", "off"))


@dataclass(frozen=True, kw_only=True)
class HistoryConfig:
    """Whether chats are kept on the user's machine, and under which name; empty means the title."""

    enabled: bool = _ruled(True, SWITCH)
    name: str = _ruled("", TEXT)


@dataclass(frozen=True, kw_only=True)
class GpuConfig:
    """``use`` is ``auto``, ``off``, a backend or (part of) a device's name; ``layers`` -1 means as many as fit."""

    use: str = _ruled("auto", TEXT)
    layers: int = _ruled(-1, whole(-1, 2**31 - 1, "a number of layers"))


@dataclass(frozen=True, kw_only=True)
class BundleConfig:
    """All settings of a bundle; ``locked`` lists key paths that whoever runs it can't change."""

    title: str = _ruled("", TEXT)
    locked: tuple[str, ...] = _ruled((), TEXTS)
    chat: ChatConfig = field(default_factory=ChatConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    context: ContextConfig = field(default_factory=ContextConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    gpu: GpuConfig = field(default_factory=GpuConfig)
    history: HistoryConfig = field(default_factory=HistoryConfig)
    prompt_cache: tuple[CachedPrompt, ...] = ()


SECTIONS: dict[str, type[Any]] = {
    "chat": ChatConfig,
    "sampling": SamplingConfig,
    "context": ContextConfig,
    "server": ServerConfig,
    "engine": EngineConfig,
    "gpu": GpuConfig,
    "history": HistoryConfig,
}


def known_keys() -> dict[str, Rule]:
    """Every key path of the file and the rule for its value."""
    rules = {f.name: f.metadata["rule"] for f in dataclasses.fields(BundleConfig) if "rule" in f.metadata}
    for section, kind in SECTIONS.items():
        rules |= {f"{section}.{f.name}": f.metadata["rule"] for f in dataclasses.fields(kind)}
    return rules


def load_config(path: Path) -> BundleConfig:
    """Read and parse a file, with or without a byte order mark. Raises InputError."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: the settings can't be read ({error.strerror})") from error
    if len(content) > MAX_CONFIG_BYTES:
        raise InputError(f"{path}: is larger than {MAX_CONFIG_BYTES:,} bytes, which no settings file is")
    try:
        return parse_config(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: is not UTF-8 text (line {line}, byte {error.start}); save it as UTF-8") from error


def parse_config(text: str, source: str) -> BundleConfig:
    """Parse TOML; ``source`` names it in messages. Raises InputError with one line for each problem."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Besides its own error, tomllib lets through those of int() and of deep nesting.
        raise InputError(f"{source}: is not valid TOML: {error}") from error
    tables = document.pop(cached_prompts.KEY, [])
    return _build(dict(_flatten(document)), BundleConfig(), source, tables)


def with_overrides(config: BundleConfig, values: Mapping[str, Any], source: str) -> BundleConfig:
    """Return ``config`` with the key paths in ``values`` replaced, held to the same rules."""
    return _build(dict(values), config, source)


def _flatten(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict) and name in SECTIONS:
            yield from ((f"{name}.{_key(inner)}", item) for inner, item in value.items())
        else:
            yield _key(name), value


def _key(name: str) -> str:
    """A key as TOML writes it: quoted when it is not bare, so that a quoted "chat.greeting" is no path."""
    return name if BARE_KEY.fullmatch(name) else _shown(name)


def _build(values: dict[str, Any], base: BundleConfig, source: str, tables: Any = ()) -> BundleConfig:
    problems = [*_problems(values), *(cached_prompts.problems(tables) if tables else ())]
    if problems:
        raise InputError("\n".join(f"{source}: {problem}" for problem in problems))
    result, rules = base, known_keys()
    if tables:
        result = dataclasses.replace(result, prompt_cache=cached_prompts.parse(tables))
    for path, value in values.items():
        result = _replaced(result, path, rules[path].canonical(value))
    return result


def _problems(values: Mapping[str, Any]) -> Iterator[str]:
    rules = known_keys()
    for path, value in values.items():
        rule = rules.get(path)
        if path in SECTIONS:
            yield f"{path}: expected a table, [{path}], found {_shown(value)}"
        elif rule is None:
            yield f"{path}: is no known key{_suggestion(path, [*rules, *SECTIONS])}"
        elif problem := rule.problem(value):
            yield f"{path}: {problem}"
        elif path == "locked":
            for name in value:
                if name not in rules:
                    yield f"locked: {_shown(name)} is no known key{_suggestion(name, list(rules))}"


def parse_scaled_path(text: str, option: str) -> tuple[Path, float]:
    """Read ``PATH`` or ``PATH:SCALE``, the scale 1 unless given. Raises InputError for one that is no number."""
    head, colon, tail = text.rpartition(":")
    if not colon or not head or Path(text).exists() or re.search(r"[\\/]", tail):
        return Path(text), 1.0
    try:
        scale = float(tail)
    except ValueError:
        scale = math.nan
    if not -MAX_SCALE <= scale <= MAX_SCALE:
        raise InputError(
            f"{option} {text}: expected a scale from -{MAX_SCALE} to {MAX_SCALE} after the colon, found {tail!r}"
        )
    return Path(head), scale


def _suggestion(path: str, known: list[str]) -> str:
    last = {name.rpartition(".")[2]: name for name in known}
    near = difflib.get_close_matches(path, known, n=1, cutoff=0.6)
    near = near or [last[name] for name in difflib.get_close_matches(path.rpartition(".")[2], last, n=1, cutoff=0.7)]
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"


def _replaced(config: BundleConfig, path: str, value: Any) -> BundleConfig:
    section, _, name = path.rpartition(".")
    if not section:
        return dataclasses.replace(config, **{name: value})
    part = dataclasses.replace(getattr(config, section), **{name: value})
    return dataclasses.replace(config, **{section: part})


def dump_config(config: BundleConfig) -> str:
    """Write ``config`` as canonical TOML; parsing it again gives an equal value."""
    lines = [f"{name} = {_toml(getattr(config, name))}" for name in ("title", "locked")]
    for section in SECTIONS:
        part = getattr(config, section)
        values = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
        lines += ["", f"[{section}]"]
        lines += [f"{name} = {_toml(value)}" for name, value in values.items() if value is not None]
    lines += cached_prompts.dump(config.prompt_cache, _toml)
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        # A JSON string is a TOML basic string once DEL, which TOML forbids bare, is escaped too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
