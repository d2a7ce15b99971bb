"""Reads the prompts that every chat begins with before a file is packed, so that its users need not wait for that.

The runtime of this system does it (``runtime.prompt_states.making``), started as a program of its own. The states are
files beside the output until they are packed.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packer.container import prompt_states
from packer.container.cached_prompts import CachedPrompt
from packer.errors import OutputError, PackerError
from packer.runtime_child import runtime_reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from packer.container.config import BundleConfig

AUTO, ALWAYS, NEVER = "auto", "always", "never"
MODES = (AUTO, ALWAYS, NEVER)
LIMIT_SHARE = 0.1
SHORT_TOKENS = 64
"""A prompt that is shorter is read in an instant; left out unless asked for."""
SYSTEM_PROMPT = "system prompt"


@dataclass(frozen=True, kw_only=True)
class PreparedPrompt:
    """What became of a prompt: a state of ``num_tokens`` at ``path``, or ``why`` there is none."""

    name: str
    num_tokens: int
    size_bytes: int
    path: Path | None
    why: str | None

    @property
    def tokens(self) -> list[int]:
        """The tokens of a state that was kept."""
        if self.path is None:
            raise ValueError(f"nothing was kept of {self.name}")
        with self.path.open("rb") as stream:
            preamble = stream.read(prompt_states.PREAMBLE.size)
            size = prompt_states.head_bytes(preamble, self.size_bytes)
            return prompt_states.parse_tokens(preamble + stream.read(size - len(preamble)))


@dataclass(frozen=True, kw_only=True)
class PromptOrder:
    """What is to be read by which model, and how much room it may take; ``model_bytes`` sets the limit of ``auto``."""

    model: Path
    model_bytes: int
    adapters: Sequence[tuple[Path, float]]
    config: BundleConfig
    mode: str

    @property
    def limit_bytes(self) -> int | None:
        """The most that all states together may have; ``None``: no limit."""
        return None if self.mode == ALWAYS else int(self.model_bytes * LIMIT_SHARE)

    @property
    def prompts(self) -> list[CachedPrompt]:
        """The prompts to read: that of the file first; those listed in the settings were asked for one by one."""
        config = self.config
        if self.mode == NEVER:
            return []
        own = config.chat.system_prompt
        # A token has at least one byte, and the template adds some.
        is_worth_it = self.mode == ALWAYS or len(own.encode()) >= SHORT_TOKENS
        first = [CachedPrompt(name=SYSTEM_PROMPT, system_prompt=own)] if own and is_worth_it else []
        return [*first, *config.prompt_cache]

    def to_json(self, directory: Path) -> str:
        """Serialise for the runtime, which writes the states into ``directory``."""
        values: dict[str, Any] = {
            "model": str(self.model.absolute()),
            "adapters": [[str(path.absolute()), scale] for path, scale in self.adapters],
            "kv_type": self.config.context.kv_type,
            "context_size": self.config.context.size,
            "limit_bytes": self.limit_bytes,
            "least_tokens": 1 if self.mode == ALWAYS else SHORT_TOKENS,
            "system_prompt": self.config.chat.system_prompt,
            "prompts": [asdict(prompt) for prompt in self.prompts],
            "directory": str(directory),
        }
        return json.dumps(values)


@contextlib.contextmanager
def prepared_prompts(
    program: Path, order: PromptOrder, beside: Path, note: Callable[[str], None]
) -> Iterator[tuple[PreparedPrompt, ...]]:
    """Yield what became of each prompt; the files are in a directory next to ``beside`` that is removed afterwards.

    ``program`` is a bundle without a model. Raises OutputError, and with ``always`` whatever made it impossible;
    with ``auto`` that is the reason that the prompts are given back with.
    """
    try:
        work = tempfile.TemporaryDirectory(prefix=f".{beside.name}.", dir=beside.parent)
    except OSError as error:
        raise OutputError(f"{beside.parent}: can't be written to ({error.strerror})") from error
    with work as directory:
        path = Path(directory) / "order.json"
        path.write_text(order.to_json(Path(directory)), encoding="utf-8")
        try:
            prepared = _prepare(program, path, note)
        except OutputError:
            raise
        except PackerError as error:
            if order.mode == ALWAYS:
                raise
            prepared = tuple(
                PreparedPrompt(name=one.name, num_tokens=0, size_bytes=0, path=None, why=str(error))
                for one in order.prompts
            )
        yield prepared


def _prepare(program: Path, order: Path, note: Callable[[str], None]) -> tuple[PreparedPrompt, ...]:
    prepared = []
    command = [str(program), "--prompt-states", str(order)]
    with contextlib.closing(runtime_reports(command, "reading the prompts")) as reports:
        for report in reports:
            if "prompt" not in report:
                note(f"{report['tokens']:,} of {report['of']:,} tokens")
                continue
            prepared.append(
                PreparedPrompt(
                    name=report["name"],
                    num_tokens=report["tokens"],
                    size_bytes=report["size_bytes"],
                    path=Path(report["file"]) if report["file"] else None,
                    why=report["why"],
                )
            )
    return tuple(prepared)


def in_words(prepared: PreparedPrompt, order: PromptOrder, size_in_words: Callable[[int], str]) -> str:
    """Say what became of a prompt, for people."""
    size = size_in_words(prepared.size_bytes)
    if prepared.path is not None:
        return f"Prompt: {prepared.name}, {prepared.num_tokens:,} tokens already read, {size}"
    if prepared.why == "short":
        return f"Prompt: {prepared.name} has {prepared.num_tokens} tokens, read in an instant; nothing is packed of it"
    if prepared.why == "large":
        halve = '; kv_type = "q8_0" under [context] halves it' if order.config.context.kv_type == "f16" else ""
        return (
            f"Prompt: {prepared.name}, {prepared.num_tokens:,} tokens, would add {size}, over the limit of "
            f"{size_in_words(order.limit_bytes or 0)} (10% of the model), and is left out: the first chat reads it. "
            f"--prompt-cache always packs it{halve}"
        )
    return f"Prompt: {prepared.name} is not packed: {prepared.why}"
