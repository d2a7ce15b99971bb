"""Puts a model, its settings and a runtime together into one executable file."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packer import __version__
from packer.container import layout
from packer.container.config import dump_config
from packer.container.manifest import (
    AdapterSummary,
    ExternalWeights,
    Manifest,
    ModelSummary,
    ProjectorSummary,
    PromptSummary,
)
from packer.container.prompt_states import state_key
from packer.container.reader import MAX_MANIFEST_BYTES, open_bundle
from packer.container.writer import ContainerWriter, Segment, complete_or_nothing, digest_segments, write_segments
from packer.errors import OutputError
from packer.gguf import inspect_adapter, inspect_model, inspect_projector, model_source
from packer.programs import WINDOWS, WINDOWS_MAX_BYTES, WINDOWS_SUFFIX, native_launchers, program_for
from packer.runtimes.backends import combined_id, copy_backend, read_document
from packer.runtimes.licences import merged_documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from packer.container.config import BundleConfig
    from packer.container.reader import Bundle
    from packer.gguf import AdapterInfo, ModelInfo, ModelSource, ProjectorInfo
    from packer.prompt_states import PreparedPrompt
    from packer.runtimes.backends import StoredBackend
    from packer.runtimes.store import StoredRuntime

MAX_LAUNCHER_BYTES = 16 * 1024 * 1024
COMPRESS_LEVEL = 19


@dataclass(frozen=True, kw_only=True)
class BundlePlan:
    """Everything a bundle is made of, checked before the first byte is written; ``model`` may be absent.

    ``program`` makes the program in front from the native launchers, which stand in the file as well when there are
    several. A file larger than ``split_at_bytes`` leaves the model in a file of its own. ``backends`` are the GPU
    backends of any of the systems.
    """

    output: Path
    config: BundleConfig
    runtimes: tuple[StoredRuntime, ...]
    model: PlannedModel | None
    adapters: tuple[PlannedAdapter, ...] = ()
    projector: PlannedProjector | None = None
    backends: tuple[StoredBackend, ...] = ()
    prompts: tuple[PreparedPrompt, ...] = ()
    windowed: bool = False
    split_at_bytes: int | None = None
    program: Callable[[Mapping[str, bytes]], bytes] = program_for

    @property
    def targets(self) -> tuple[str, ...]:
        """The systems that the file runs on."""
        return tuple(runtime.target for runtime in self.runtimes)

    @property
    def size_bytes(self) -> int:
        """About the size of what is to be written; a little more than it will be."""
        model_bytes = self.model.source.size_bytes if self.model else 0
        model_bytes += sum(one.source.size_bytes + layout.MODEL_ALIGNMENT_BYTES for one in self.adapters)
        model_bytes += sum(one.size_bytes + layout.MODEL_ALIGNMENT_BYTES for one in self.prompts if one.path)
        model_bytes += self.projector.source.size_bytes + layout.MODEL_ALIGNMENT_BYTES if self.projector else 0
        runtime_bytes = sum(runtime.size_bytes for runtime in self.runtimes)
        runtime_bytes += sum(backend.size_bytes for backend in self.backends)
        return model_bytes + runtime_bytes + 2 * layout.MODEL_ALIGNMENT_BYTES + (1 << 20)

    def runtime_id(self, runtime: StoredRuntime) -> str:
        """The id of a runtime in this file; with backends in it, it has one of its own."""
        own = [backend for backend in self.backends if backend.target == runtime.target]
        return combined_id(runtime.summary.runtime_id, own)

    @property
    def is_too_large_for_windows(self) -> bool:
        """Whether Windows is among the systems and would refuse the file with the model inside."""
        return WINDOWS in self.targets and self.size_bytes > WINDOWS_MAX_BYTES

    @property
    def weights_path(self) -> Path | None:
        """Where the model goes when it doesn't go into the file."""
        is_large = self.split_at_bytes is not None and self.size_bytes > self.split_at_bytes
        if self.model is None or not (is_large or self.is_too_large_for_windows):
            return None
        return self.output.with_name(f"{self.output.name.removesuffix(WINDOWS_SUFFIX)}.gguf")


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """A model that passed inspection and the ranges of files that make it up; ``entry`` is its name inside."""

    entry: str
    info: ModelInfo
    source: ModelSource


@dataclass(frozen=True, kw_only=True)
class PlannedAdapter:
    """An adapter that fits its model; ``entry`` is its name inside."""

    entry: str
    info: AdapterInfo
    source: ModelSource
    scale: float


@dataclass(frozen=True, kw_only=True)
class PlannedProjector:
    """A projector that fits its model; ``entry`` is its name inside."""

    entry: str
    info: ProjectorInfo
    source: ModelSource


def plan_projector(path: Path, model: Path) -> PlannedProjector:
    """Inspect the projector at ``path`` for the model at ``model``. Raises InputError for a wrong one."""
    return PlannedProjector(
        entry=f"{layout.PROJECTOR_PREFIX}{_entry_stem(path.name.removesuffix('.gguf'))}.gguf",
        info=inspect_projector(path, model),
        source=model_source(path),
    )


def plan_adapters(wanted: Sequence[tuple[Path, float]], model: Path) -> tuple[PlannedAdapter, ...]:
    """Inspect adapters, given with their scales, for the model at ``model``. Raises InputError for a wrong one."""
    return tuple(
        PlannedAdapter(
            entry=f"{layout.ADAPTERS_PREFIX}{number}-{_entry_stem(path.name.removesuffix('.gguf'))}.gguf",
            info=inspect_adapter(path, model),
            source=model_source(path),
            scale=scale,
        )
        for number, (path, scale) in enumerate(wanted, start=1)
    )


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
    """Raise OutputError when ``output`` is one of the files it would be made from, or has no place to be."""
    if output.is_dir():
        raise OutputError(f"{output}: is a directory; give the name of the file to write, such as {output / 'chat'}")
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        why = "may not be written to" if output.parent.is_dir() else "is no directory"
        raise OutputError(f"{output}: can't be written, {output.parent} {why}; choose another place with -o")
    for source in sources:
        with contextlib.suppress(OSError):
            if output.samefile(source):
                raise OutputError(f"{output}: is the model itself; choose another name with -o")


def write_bundle(plan: BundlePlan, progress: Callable[[int], None] | None = None) -> None:
    """Write the files that ``plan`` describes, complete or not at all. Raises OutputError, InputError."""
    if plan.model is not None:
        sources = [plan.model.source, *(adapter.source for adapter in plan.adapters)]
        sources += [plan.projector.source] if plan.projector else []
        check_output(plan.output, [segment.path for source in sources for segment in source.segments])
    path = plan.weights_path
    with contextlib.ExitStack() as stack:
        weights = None
        if path is not None and plan.model is not None:
            weights = _write_weights(stack, path, plan.model, progress)
        bundles = [stack.enter_context(open_bundle(runtime.path)) for runtime in plan.runtimes]
        needed_bytes = plan.size_bytes if path is None else 0
        descriptor = stack.enter_context(complete_or_nothing(plan.output, needed_bytes=needed_bytes))
        _write_program(plan, bundles, weights, ContainerWriter(descriptor, _program(plan, bundles), progress))


def _write_weights(
    stack: contextlib.ExitStack, path: Path, model: PlannedModel, progress: Callable[[int], None] | None
) -> ExternalWeights:
    """Write the model to ``path``, which gets its name when ``stack`` ends, or take the file that is it already."""
    report = progress or (lambda _count: None)
    header, segments = model.source.header, model.source.segments
    if not header and len(segments) == 1 and path.exists() and path.samefile(segments[0].path):
        sha256, _ = digest_segments(header, segments, threading.Event())
        report(model.source.size_bytes)
    else:
        check_output(path, [segment.path for segment in segments])
        size_bytes = model.source.size_bytes
        descriptor = stack.enter_context(complete_or_nothing(path, needed_bytes=size_bytes, mode=0o644))
        sha256, _ = write_segments(descriptor, header, segments, 0, report)
    return ExternalWeights(file=path.name, size_bytes=model.source.size_bytes, sha256=sha256)


def _launchers(plan: BundlePlan, bundles: list[Bundle]) -> dict[str, bytes]:
    read = {
        target: bundle.read(layout.launcher_name(target), MAX_LAUNCHER_BYTES)
        for target, bundle in zip(plan.targets, bundles, strict=True)
    }
    return native_launchers(read, windowed=plan.windowed)


def _program(plan: BundlePlan, bundles: list[Bundle]) -> bytes:
    return plan.program(_launchers(plan, bundles))


def _write_program(
    plan: BundlePlan, bundles: list[Bundle], weights: ExternalWeights | None, writer: ContainerWriter
) -> None:
    writer.add_bytes(layout.CONFIG_NAME, dump_config(plan.config).encode())
    if len(bundles) > 1:
        for target, program in _launchers(plan, bundles).items():
            writer.add_bytes(layout.launcher_name(target), program, mode=0o755, compress_level=COMPRESS_LEVEL)
    documents = [bundle.read(layout.SBOM_NAME) for bundle in bundles]
    documents += [read_document(backend) for backend in plan.backends]
    writer.add_bytes(layout.SBOM_NAME, merged_documents(documents), compress_level=COMPRESS_LEVEL)
    for runtime, bundle in zip(plan.runtimes, bundles, strict=True):
        _copy_runtime(writer, bundle, plan.runtime_id(runtime))
    for backend in plan.backends:
        copy_backend(writer, backend)
    if plan.model is not None and weights is None:
        writer.add_segments(plan.model.entry, plan.model.source.header, plan.model.source.segments)
    for adapter in plan.adapters:
        writer.add_segments(adapter.entry, adapter.source.header, adapter.source.segments)
    for entry, path, prompt in _packed_prompts(plan):
        writer.add_segments(entry, b"", [Segment(path=path, offset_bytes=0, size_bytes=prompt.size_bytes)])
    if plan.projector is not None:
        writer.add_segments(plan.projector.entry, plan.projector.source.header, plan.projector.source.segments)
    manifest = _manifest(plan, writer, weights).to_json()
    if len(manifest) > MAX_MANIFEST_BYTES:
        raise OutputError(f"{plan.output}: its manifest would have {len(manifest)} bytes, more than can be read")
    writer.finish(manifest)


def _copy_runtime(writer: ContainerWriter, runtime: Bundle, runtime_id: str) -> None:
    """Copy a runtime's files and licences; a licence whose text differs from another runtime's gets its own name."""
    digests = runtime.manifest.sha256
    (target,) = runtime.manifest.targets
    for name in runtime.entries:
        if name == layout.runtime_id_name(target):
            writer.add_bytes(name, f"{runtime_id}\n".encode())
        elif name.startswith(layout.RUNTIME_PREFIX):
            writer.add_copy(runtime, name, digests[name])
        elif name.startswith(layout.LICENSES_PREFIX) and writer.sha256.get(name) != digests[name]:
            own = name if name not in writer.sha256 else f"{name.removesuffix('.txt')}-{target}.txt"
            writer.add_copy(runtime, name, digests[name], new_name=own)


def _manifest(plan: BundlePlan, writer: ContainerWriter, weights: ExternalWeights | None) -> Manifest:
    return Manifest(
        packer_version=__version__,
        title=plan.config.title or (plan.model.info.name if plan.model else "packer"),
        model=_model_summary(plan.model, is_inside=weights is None) if plan.model else None,
        targets={
            runtime.target: replace(runtime.summary, runtime_id=plan.runtime_id(runtime)) for runtime in plan.runtimes
        },
        launcher_bytes=writer.launcher_bytes,
        launcher_sha256=writer.launcher_sha256,
        sha256=writer.sha256,
        weights=weights,
        adapters=tuple(map(_adapter_summary, plan.adapters)),
        prompts=tuple(_prompt_summaries(plan, writer, weights)),
        projector=_projector_summary(plan.projector) if plan.projector else None,
    )


def _projector_summary(projector: PlannedProjector) -> ProjectorSummary:
    return ProjectorSummary(
        entry=projector.entry,
        name=projector.info.name,
        kind=projector.info.kind,
        size_bytes=projector.source.size_bytes,
    )


def _packed_prompts(plan: BundlePlan) -> list[tuple[str, Path, PreparedPrompt]]:
    """Name and file of the entry of each prompt of which there is a state."""
    kept = [(prompt.path, prompt) for prompt in plan.prompts if prompt.path is not None]
    return [
        (f"{layout.PROMPTS_PREFIX}{number}.state", path, prompt) for number, (path, prompt) in enumerate(kept, start=1)
    ]


def _prompt_summaries(
    plan: BundlePlan, writer: ContainerWriter, weights: ExternalWeights | None
) -> Iterator[PromptSummary]:
    """Describe the states; their keys name model and adapters as they were written, by digest."""
    model = plan.model.entry if plan.model else ""
    for entry, _path, prompt in _packed_prompts(plan):
        yield PromptSummary(
            entry=entry,
            name=prompt.name,
            key=state_key(
                model_sha256=weights.sha256 if weights else writer.sha256[model],
                adapters=[(writer.sha256[adapter.entry], adapter.scale) for adapter in plan.adapters],
                kv_type=plan.config.context.kv_type,
                llama_cpp=plan.runtimes[0].summary.llama_cpp,
                tokens=prompt.tokens,
            ),
            num_tokens=prompt.num_tokens,
            kv_type=plan.config.context.kv_type,
            size_bytes=prompt.size_bytes,
        )


def _adapter_summary(adapter: PlannedAdapter) -> AdapterSummary:
    return AdapterSummary(
        entry=adapter.entry,
        name=adapter.info.name,
        scale=adapter.scale,
        rank=adapter.info.rank,
        size_bytes=adapter.source.size_bytes,
    )


def _model_summary(model: PlannedModel, *, is_inside: bool) -> ModelSummary:
    return ModelSummary(
        entry=model.entry if is_inside else "",
        name=model.info.name,
        architecture=model.info.architecture,
        quantization=model.info.quantization,
        num_parameters=model.info.num_parameters,
        context_length=model.info.context_length,
        size_bytes=model.source.size_bytes,
        use=model.info.use,
    )
