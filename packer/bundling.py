"""Puts a model, its settings and a runtime together into one executable file."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packer import __version__
from packer.container import layout
from packer.container.config import dump_config
from packer.container.manifest import Manifest, ModelSummary
from packer.container.reader import MAX_MANIFEST_BYTES, open_bundle
from packer.container.writer import ContainerWriter, complete_or_nothing
from packer.errors import OutputError
from packer.gguf import inspect_model, model_source
from packer.runtimes.backends import MAX_SBOM_BYTES, combined_id, combined_sbom, copy_backends

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.container.config import BundleConfig
    from packer.container.manifest import TargetSummary
    from packer.container.reader import Bundle
    from packer.gguf import ModelInfo, ModelSource
    from packer.runtimes.backends import StoredBackend
    from packer.runtimes.store import StoredRuntime

MAX_LAUNCHER_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class BundlePlan:
    """Everything a bundle is made of, checked before the first byte is written; ``model`` may be absent.

    ``backends`` are the GPU backends that go in.
    """

    output: Path
    config: BundleConfig
    runtime: StoredRuntime
    model: PlannedModel | None
    backends: tuple[StoredBackend, ...] = ()

    @property
    def summary(self) -> TargetSummary:
        """The runtime's summary; with backends in it, it has another id."""
        summary = self.runtime.summary
        return replace(summary, runtime_id=combined_id(summary.runtime_id, self.backends))

    @property
    def size_bytes(self) -> int:
        """About the size of the file to be written; a little more than it will be."""
        model_bytes = self.model.source.size_bytes if self.model else 0
        backend_bytes = sum(backend.size_bytes for backend in self.backends)
        return model_bytes + self.runtime.size_bytes + backend_bytes + 2 * layout.MODEL_ALIGNMENT_BYTES + (1 << 20)


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """A model that passed inspection and the ranges of files that make it up; ``entry`` is its name inside."""

    entry: str
    info: ModelInfo
    source: ModelSource


def plan_model(path: Path) -> PlannedModel:
    """Inspect the model at ``path`` and its shards. Raises InputError with the one thing that is wrong."""
    info = inspect_model(path)
    source = model_source(path)
    stem = path.name.removesuffix(".gguf")
    if info.split_count > 1:
        stem = stem.rsplit("-", 3)[0]
    return PlannedModel(entry=f"{layout.MODEL_PREFIX}{_entry_stem(stem)}.gguf", info=info, source=source)


def _entry_stem(stem: str) -> str:
    cleaned = "".join("_" if character in '\\:/"<>|?*' or ord(character) < 32 else character for character in stem)
    return cleaned.strip(". ") or "model"


def check_output(output: Path, sources: list[Path]) -> None:
    """Raise OutputError when ``output`` is one of the files it would be made from."""
    for source in sources:
        with contextlib.suppress(OSError):
            if output.samefile(source):
                raise OutputError(f"{output}: is the model itself; choose another name with -o")


def write_bundle(plan: BundlePlan, progress: Callable[[int], None] | None = None) -> None:
    """Write the file that ``plan`` describes, complete or not at all. Raises OutputError, InputError."""
    if plan.model is not None:
        check_output(plan.output, [segment.path for segment in plan.model.source.segments])
    with (
        open_bundle(plan.runtime.path) as runtime,
        complete_or_nothing(plan.output, needed_bytes=plan.size_bytes) as descriptor,
    ):
        writer = ContainerWriter(
            descriptor, runtime.read(layout.launcher_name(plan.runtime.target), MAX_LAUNCHER_BYTES), progress
        )
        writer.add_bytes(layout.CONFIG_NAME, dump_config(plan.config).encode())
        _copy_runtime(writer, runtime, plan)
        if plan.model is not None:
            writer.add_segments(plan.model.entry, plan.model.source.header, plan.model.source.segments)
        manifest = _manifest(plan, writer).to_json()
        if len(manifest) > MAX_MANIFEST_BYTES:
            raise OutputError(f"{plan.output}: its manifest would have {len(manifest)} bytes, more than can be read")
        writer.finish(manifest)


def _copy_runtime(writer: ContainerWriter, runtime: Bundle, plan: BundlePlan) -> None:
    """Copy the runtime's entries and those of the backends; what lists or names them is written anew for these."""
    digests = runtime.manifest.sha256
    renewed = {}
    if plan.backends:
        sbom = runtime.read(layout.SBOM_NAME, MAX_SBOM_BYTES)
        renewed = {
            f"{layout.RUNTIME_PREFIX}{plan.runtime.target}/runtime.id": f"{plan.summary.runtime_id}\n".encode(),
            layout.SBOM_NAME: combined_sbom(sbom, plan.backends),
        }
    for name in runtime.entries:
        if name in renewed:
            writer.add_bytes(name, renewed[name])
        elif name.startswith((layout.RUNTIME_PREFIX, layout.LICENSES_PREFIX)) or name == layout.SBOM_NAME:
            writer.add_copy(runtime, name, digests[name])
    copy_backends(writer, plan.backends)


def _manifest(plan: BundlePlan, writer: ContainerWriter) -> Manifest:
    return Manifest(
        packer_version=__version__,
        title=plan.config.title or (plan.model.info.name if plan.model else "packer"),
        model=_model_summary(plan.model) if plan.model else None,
        targets={plan.runtime.target: plan.summary},
        launcher_bytes=writer.launcher_bytes,
        launcher_sha256=writer.launcher_sha256,
        sha256=writer.sha256,
    )


def _model_summary(model: PlannedModel) -> ModelSummary:
    return ModelSummary(
        entry=model.entry,
        name=model.info.name,
        architecture=model.info.architecture,
        quantization=model.info.quantization,
        num_parameters=model.info.num_parameters,
        context_length=model.info.context_length,
        size_bytes=model.source.size_bytes,
    )
