"""Finds what to run: the packed file this program was started from, or a bare GGUF given with ``--model``."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packer.errors import DamagedError, InputError
from runtime.llama.model import AdapterFile, ModelFile
from runtime.prompt_states.stored import PromptFile, PromptFiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packer.container.config import BundleConfig
    from packer.container.manifest import Manifest
    from packer.container.reader import Bundle
    from runtime.llama.library import Library

BUNDLE_VARIABLE = "PACKER_BUNDLE"
CONFIG_ENTRY = "config.toml"
LICENSES_PREFIX = "licenses/"
STORED = 0
LINUX = "linux-x86_64"
WINDOWS = "windows-x86_64"
MAX_CONFIG_BYTES = 1 << 20
MAX_LICENSE_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """The model to load and what is known about it beforehand: ``description`` is the manifest's ``model`` table.

    ``prompts`` were read by this model with these adapters.
    """

    file: ModelFile
    name: str
    context_length: int
    description: dict[str, Any]
    adapters: tuple[AdapterFile, ...] = ()
    prompts: PromptFiles | None = None
    projector: ModelFile | None = None

    def with_projector(self, path: Path | None) -> ModelSource:
        """See pictures with the projector in a file of its own. Raises InputError when it is missing."""
        if path is None:
            return self
        if not path.is_file():
            raise InputError(f"{path}: no such file; check the path given with --mmproj")
        return replace(self, projector=ModelFile(path=path), description={**self.description, "projector": path.name})

    def with_adapters(self, adapters: Sequence[tuple[Path, float]]) -> ModelSource:
        """Add adapters from files of their own, given with their scales. Raises InputError for one that is missing."""
        for path, _scale in adapters:
            if not path.is_file():
                raise InputError(f"{path}: no such file; check the path given with --lora")
        added = tuple(
            AdapterFile(file=ModelFile(path=path), name=path.name.removesuffix(".gguf"), scale=scale)
            for path, scale in adapters
        )
        return replace(self.replace_adapters(self.adapters + added), prompts=None) if added else self

    def replace_adapters(self, adapters: tuple[AdapterFile, ...]) -> ModelSource:
        """Use these adapters."""
        shown = [{"name": one.name, "scale": one.scale} for one in adapters]
        return replace(self, adapters=adapters, description={**self.description, "adapters": shown})


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Everything the program needs from a packed file; ``model`` is ``None`` without one inside."""

    path: Path
    config: BundleConfig
    manifest: Manifest
    model: ModelSource | None


def bundle_path(environ: Mapping[str, str]) -> Path | None:
    """Return the path of the packed file as the launcher handed it over, or ``None`` when there was no launcher."""
    value = environ.get(BUNDLE_VARIABLE)
    return Path(value) if value else None


def open_contents(path: Path) -> Contents:
    """Read configuration, manifest and the place of the model. Raises InputError or DamagedError."""
    from packer.container.config import parse_config
    from packer.container.reader import open_bundle

    with open_bundle(path) as bundle:
        manifest = bundle.manifest
        text = _decode(path, CONFIG_ENTRY, bundle.read(CONFIG_ENTRY, MAX_CONFIG_BYTES))
        config = parse_config(text, f"{path}: {CONFIG_ENTRY}")
        return Contents(path=path, config=config, manifest=manifest, model=_find_model(bundle, manifest))


def default_config() -> BundleConfig:
    """Return the configuration of a run without a packed file."""
    from packer.container.config import parse_config

    return parse_config("", "built-in defaults")


def _find_model(bundle: Bundle, manifest: Manifest) -> ModelSource | None:
    summary = manifest.model
    if summary is None or manifest.weights is not None:
        return None
    source = ModelSource(
        file=_stored_file(bundle, summary.entry),
        name=summary.name,
        context_length=summary.context_length,
        description=asdict(summary),
        prompts=find_prompts(bundle, manifest.sha256.get(summary.entry, "")),
    )
    return with_packed_parts(source, bundle)


def with_packed_parts(source: ModelSource, bundle: Bundle) -> ModelSource:
    """Let a packed model use the adapters and the projector that were packed with it. Raises DamagedError."""
    adapters = tuple(
        AdapterFile(file=_stored_file(bundle, adapter.entry), name=adapter.name, scale=adapter.scale)
        for adapter in bundle.manifest.adapters
    )
    return packed_projector(bundle, source.replace_adapters(adapters) if adapters else source)


def packed_projector(bundle: Bundle, source: ModelSource) -> ModelSource:
    """Add the projector that stands in the bundle, if one does."""
    projector = bundle.manifest.projector
    if projector is None:
        return source
    description = {**source.description, "projector": projector.name}
    return replace(source, projector=_stored_file(bundle, projector.entry), description=description)


def find_prompts(bundle: Bundle, model_sha256: str) -> PromptFiles | None:
    """Find the prompts that were read by the model with this digest; one that is missing or compressed is left out."""
    manifest, digests = bundle.manifest, bundle.manifest.sha256
    target = manifest.targets.get(WINDOWS if sys.platform == "win32" else LINUX)
    if not manifest.prompts or target is None:
        return None
    entries = [(bundle.entries.get(prompt.entry), prompt.key) for prompt in manifest.prompts]
    return PromptFiles(
        files=tuple(
            PromptFile(
                path=bundle.path,
                offset_bytes=entry.data_offset_bytes,
                size_bytes=entry.size_bytes,
                crc32=entry.crc32,
                key=key,
            )
            for entry, key in entries
            if entry is not None and entry.method == STORED
        ),
        model_sha256=model_sha256,
        adapters=tuple((digests.get(adapter.entry, ""), adapter.scale) for adapter in manifest.adapters),
        llama_cpp=target.llama_cpp,
    )


def _stored_file(bundle: Bundle, name: str) -> ModelFile:
    entry = bundle.entries.get(name)
    if entry is None or entry.method != STORED:
        found = "is missing" if entry is None else "is compressed"
        raise DamagedError(f"{bundle.path}: {name} {found}; the file was changed after it was packed")
    return ModelFile(path=bundle.path, offset_bytes=entry.data_offset_bytes)


def read_licenses(path: Path) -> dict[str, str]:
    """Return the licence texts in the packed file by component name."""
    from packer.container.reader import open_bundle

    with open_bundle(path) as bundle:
        names = sorted(name for name in bundle.entries if name.startswith(LICENSES_PREFIX))
        return {
            name.removeprefix(LICENSES_PREFIX).removesuffix(".txt"): bundle.read(name, MAX_LICENSE_BYTES).decode(
                "utf-8", "replace"
            )
            for name in names
        }


def require_path(path: Path | None, option: str) -> Path:
    """Return ``path``. Raises InputError when the program does not run from a packed file."""
    if path is None:
        raise InputError(f"{option} describes a packed file, and this program was not started from one")
    return path


def _decode(path: Path, name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedError(f"{path}: {name} is not UTF-8 text (byte {error.start})") from error


def bare_model(path: Path, library: Library) -> ModelSource:
    """Describe the GGUF at ``path`` by its header. Raises InputError when it can't be read."""
    from runtime.llama.gguf_header import read_header

    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: can't be opened ({error.strerror}); check the path given with --model") from error
    header = read_header(library, path)
    description = {
        "name": header.name,
        "architecture": header.architecture,
        "context_length": header.context_length,
        "size_bytes": size_bytes,
        "use": header.use,
    }
    return ModelSource(
        file=ModelFile(path=path), name=header.name, context_length=header.context_length, description=description
    )
