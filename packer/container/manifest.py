"""The manifest of a container: what it runs, on what, and the SHA-256 of everything in it.

It is the entry ``manifest.json``, the last one, JSON with sorted keys. Unknown keys are ignored, so that a newer
packer may add some without a new format version.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, TypeVar

from packer.container.layout import FORMAT_VERSION


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """The packed model as the manifest describes it; ``entry`` is its name in the archive.

    ``use`` is ``chat``, or ``embeddings`` for a model that can't chat.
    """

    entry: str
    name: str
    architecture: str
    quantization: str
    num_parameters: int
    context_length: int
    size_bytes: int
    use: str = "chat"


@dataclass(frozen=True, kw_only=True)
class AdapterSummary:
    """A packed LoRA adapter; ``entry`` is its name in the archive, ``scale`` how strongly it is applied."""

    entry: str
    name: str
    scale: float
    rank: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class PromptSummary:
    """A packed prompt state; ``entry`` is its name in the archive, ``key`` what ``prompt_states.state_key`` gives."""

    entry: str
    name: str
    key: str
    num_tokens: int
    kv_type: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class ProjectorSummary:
    """A packed projector, which lets the model see pictures; ``entry`` is its name in the archive."""

    entry: str
    name: str
    kind: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class TargetSummary:
    """One system the file runs on; ``runtime_id`` names the directory it unpacks to."""

    runtime_id: str
    requires_glibc: str
    llama_cpp: str
    python: str


@dataclass(frozen=True, kw_only=True)
class ExternalWeights:
    """A model in a file of its own beside the program: its name, size and hexadecimal SHA-256."""

    file: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything ``manifest.json`` says. ``sha256`` maps every other entry's name to its hexadecimal digest.

    With ``weights`` the model is not an entry but the file they describe, and ``model.entry`` is empty.
    """

    packer_version: str
    title: str
    model: ModelSummary | None
    targets: dict[str, TargetSummary]
    launcher_bytes: int
    launcher_sha256: str
    sha256: dict[str, str]
    adapters: tuple[AdapterSummary, ...] = ()
    prompts: tuple[PromptSummary, ...] = ()
    weights: ExternalWeights | None = None
    projector: ProjectorSummary | None = None

    def to_json(self) -> bytes:
        """Serialise canonically: sorted keys, two spaces, a newline at the end."""
        document: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "packer_version": self.packer_version,
            "title": self.title,
            "model": asdict(self.model) if self.model else None,
            "adapters": [asdict(adapter) for adapter in self.adapters],
            "prompts": [asdict(prompt) for prompt in self.prompts],
            "targets": {name: asdict(target) for name, target in self.targets.items()},
            "launcher": {"size_bytes": self.launcher_bytes, "sha256": self.launcher_sha256},
            "entries": [{"name": name, "sha256": digest} for name, digest in sorted(self.sha256.items())],
        }
        if self.weights is not None:
            document["weights"] = asdict(self.weights)
        if self.projector is not None:
            document["projector"] = asdict(self.projector)
        return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def parse_manifest(document: Any) -> Manifest:
    """Build a :class:`Manifest` from parsed JSON. Raises ValueError, KeyError or TypeError when it is not one."""
    if document["format"] != FORMAT_VERSION:
        raise ValueError(
            f"its format is {document['format']!r} and this program reads format {FORMAT_VERSION}; use a newer packer"
        )
    model = document["model"]
    weights, projector = document.get("weights"), document.get("projector")
    return Manifest(
        packer_version=str(document["packer_version"]),
        title=str(document["title"]),
        model=_pick(ModelSummary, model) if model is not None else None,
        targets={str(name): _pick(TargetSummary, target) for name, target in document["targets"].items()},
        launcher_bytes=_natural(document["launcher"]["size_bytes"]),
        launcher_sha256=str(document["launcher"]["sha256"]),
        sha256={str(entry["name"]): str(entry["sha256"]) for entry in document["entries"]},
        adapters=tuple(_pick(AdapterSummary, adapter) for adapter in document.get("adapters", ())),
        prompts=tuple(_pick(PromptSummary, prompt) for prompt in document.get("prompts", ())),
        weights=_weights(weights) if weights is not None else None,
        projector=_pick(ProjectorSummary, projector) if projector is not None else None,
    )


_Summary = TypeVar(
    "_Summary", ModelSummary, AdapterSummary, PromptSummary, ProjectorSummary, TargetSummary, ExternalWeights
)
KINDS = {"int": int, "str": str, "float": float}


def _weights(values: dict[str, Any]) -> ExternalWeights:
    weights = _pick(ExternalWeights, values)
    if any(character in weights.file for character in "/\\:\0") or weights.file in {"", ".", ".."}:
        raise ValueError(f"weights: {weights.file!r} is not a plain file name")
    return weights


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a whole number of bytes, found {value!r}")
    return value


def _pick(kind: type[_Summary], values: dict[str, Any]) -> _Summary:
    given = [field for field in fields(kind) if field.name in values or field.default is MISSING]
    for field in given:
        expected = KINDS[str(field.type)]
        if type(values[field.name]) is not expected:
            raise ValueError(f"{field.name}: expected {expected.__name__}, found {values[field.name]!r}")
    return kind(**{field.name: values[field.name] for field in given})
