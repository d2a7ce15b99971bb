"""GPU backends: each a file of its own beside the runtime's, chosen when a model is packed.

A backend file is a container like a runtime file, without a launcher: the library stands in it under
``runtime/<target>/`` as it will in a bundle, compressed once, with its licences. The runtime of a bundle that carries
backends has an id of its own, so that it unpacks into a directory of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packer import __version__
from packer.container import layout
from packer.container.manifest import Manifest, TargetSummary
from packer.container.reader import open_bundle
from packer.container.writer import ContainerWriter, complete_or_nothing
from packer.errors import InputError
from packer.runtimes import licences
from packer.runtimes.gpu_libraries import GPU_LIBRARIES
from packer.toolchain.build_cache import NotBuiltError, digest_of, file_sha256
from packer.toolchain.environment import build_environment, fetch_sources
from packer.toolchain.llama_cpp import BuildTools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from packer.container.reader import Bundle
    from packer.runtimes.component import Component
    from packer.runtimes.store import RuntimeStore
    from packer.toolchain.build_cache import BuildCache

BACKENDS = tuple(GPU_LIBRARIES)
FOLDER = "_internal/llama_cpp/lib/gpu/"
SUFFIX = ".backend"
RECIPE = 1
COMPRESS_LEVEL = 19


@dataclass(frozen=True, kw_only=True)
class StoredBackend:
    """A backend at hand; ``backend_id`` is the digest of its library."""

    name: str
    target: str
    backend_id: str
    llama_cpp: str
    packer_version: str
    path: Path
    origin: str

    @property
    def size_bytes(self) -> int:
        """Size of its file: about what it adds to a packed model."""
        return self.path.stat().st_size

    def describe(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "target": self.target,
            "backend": self.name,
            "backend_id": self.backend_id,
            "packer_version": self.packer_version,
            "llama_cpp": self.llama_cpp,
            "size_bytes": self.size_bytes,
            "origin": self.origin,
            "path": str(self.path),
        }


@dataclass(frozen=True, kw_only=True)
class BackendStore:
    """The backends built into the cache of ``runtimes`` and those added beside its runtime files."""

    runtimes: RuntimeStore

    def find(self, name: str, target: str) -> StoredBackend | None:
        """Return the backend to pack: the one built for this checkout, else an added one of the same version."""
        looking = dataclasses.replace(self.runtimes.cache, may_build=False)
        with contextlib.suppress(NotBuiltError):
            return open_backend(_build_file(looking, name, target, lambda _text: None), "built")
        usable = (one for one in self.added() if one.packer_version == __version__)
        return next((one for one in usable if (one.name, one.target) == (name, target)), None)

    def build(self, name: str, target: str, note: Callable[[str], None]) -> StoredBackend:
        """Build a backend when it is missing. Raises BuildError."""
        return open_backend(_build_file(self.runtimes.cache, name, target, note), "built")

    def at_hand(self, targets: Sequence[str]) -> list[StoredBackend]:
        """All backends at hand for ``targets``."""
        found = (self.find(name, target) for target in targets for name in BACKENDS)
        return [backend for backend in found if backend is not None]

    def added(self) -> list[StoredBackend]:
        """The backends that were built elsewhere."""
        return [open_backend(path, "added") for path in sorted(self.runtimes.added_root.glob(f"*{SUFFIX}"))]

    def add(self, path: Path) -> StoredBackend:
        """Verify a backend file and keep a copy. Raises InputError or DamagedError."""
        backend = open_backend(path, "added")
        with open_bundle(path) as bundle:
            problems = bundle.verify()
        if problems:
            raise InputError(f"{path}: is damaged: {problems[0]}")
        if backend.packer_version != __version__:
            raise InputError(
                f"{path}: was built by packer {backend.packer_version} and this is {__version__}; use equal versions"
            )
        self.runtimes.added_root.mkdir(parents=True, exist_ok=True)
        kept = self.runtimes.added_root / f"{backend.target}-{backend.name}-{backend.backend_id[:12]}{SUFFIX}"
        scratch = kept.with_suffix(".part")
        shutil.copyfile(path, scratch)
        scratch.replace(kept)
        return open_backend(kept, "added")


def is_backend_file(path: Path) -> bool:
    """Tell whether a container is a backend's. Raises InputError or DamagedError when it is no container."""
    with open_bundle(path) as bundle:
        return _title_parts(bundle) is not None


def open_backend(path: Path, origin: str) -> StoredBackend:
    """Read what a backend file is. Raises InputError when it is none."""
    with open_bundle(path) as bundle:
        parts, manifest = _title_parts(bundle), bundle.manifest
        target, summary = next(iter(manifest.targets.items()), ("", None))
        if parts is None or summary is None:
            raise InputError(f"{path}: is not a backend file; expected one made by packer runtimes build --gpu")
    return StoredBackend(
        name=parts,
        target=target,
        backend_id=summary.runtime_id,
        llama_cpp=summary.llama_cpp,
        packer_version=manifest.packer_version,
        path=path,
        origin=origin,
    )


def _title_parts(bundle: Bundle) -> str | None:
    name = bundle.manifest.title.partition(" backend for ")[0]
    return name if name in BACKENDS and bundle.manifest.title != name else None


def _build_file(cache: BuildCache, name: str, target: str, note: Callable[[str], None]) -> Path:
    gpu_library = GPU_LIBRARIES[name]
    environment = build_environment(cache, note)
    tools = BuildTools(cache=cache, environment=environment, sources=fetch_sources(cache, environment, note))
    library = gpu_library.build(tools, target, note)
    digest = digest_of([RECIPE, COMPRESS_LEVEL, __version__, name, target, library.parent.name,
                        file_sha256(Path(layout.__file__))])  # fmt: skip

    def build(work: Path) -> None:
        note(f"compressing the {name} backend")
        write_backend_file(work / f"{name}{SUFFIX}", name, target, library, gpu_library.components(tools, target))

    return cache.get_or_build(f"backend-{name}", digest, build) / f"{name}{SUFFIX}"


def write_backend_file(output: Path, name: str, target: str, library: Path, parts: Iterable[Component]) -> None:
    """Compress ``library`` into the backend file ``output``, with the licences of its ``parts``."""
    described = sorted(parts, key=lambda part: part.name.lower())
    with complete_or_nothing(output, needed_bytes=0, mode=0o644) as descriptor:
        writer = ContainerWriter(descriptor, b"")
        for part in described:
            entry = f"{layout.LICENSES_PREFIX}{part.name.replace(' ', '-')}.txt"
            writer.add_bytes(entry, part.text.encode(), compress_level=COMPRESS_LEVEL)
        writer.add_bytes(layout.SBOM_NAME, licences.spdx_document(described, name=name))
        entry = f"{layout.RUNTIME_PREFIX}{target}/{FOLDER}{library.name}"
        writer.add_bytes(entry, library.read_bytes(), compress_level=COMPRESS_LEVEL)
        summary = TargetSummary(
            runtime_id=file_sha256(library), requires_glibc="", llama_cpp=licences.LLAMA_CPP_COMMIT, python=""
        )
        manifest = Manifest(
            packer_version=__version__,
            title=f"{name} backend for {target}",
            model=None,
            targets={target: summary},
            launcher_bytes=0,
            launcher_sha256=writer.launcher_sha256,
            sha256=writer.sha256,
        )
        writer.finish(manifest.to_json())


def combined_id(runtime_id: str, backends: Sequence[StoredBackend]) -> str:
    """The id of a runtime with ``backends`` in it; without any it is the runtime's own."""
    if not backends:
        return runtime_id
    return digest_of([runtime_id, [[backend.name, backend.backend_id] for backend in backends]])


def copy_backend(writer: ContainerWriter, backend: StoredBackend) -> None:
    """Copy the library and the licences of a backend into a bundle, licences that are there already not again."""
    with open_bundle(backend.path) as bundle:
        digests = bundle.manifest.sha256
        for name in bundle.entries:
            wanted = name.startswith((layout.RUNTIME_PREFIX, layout.LICENSES_PREFIX))
            if wanted and writer.sha256.get(name) != digests[name]:
                writer.add_copy(bundle, name, digests[name])


def read_document(backend: StoredBackend) -> bytes:
    """The SPDX list of what a backend is made of."""
    with open_bundle(backend.path) as bundle:
        return bundle.read(layout.SBOM_NAME)
