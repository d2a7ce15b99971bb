"""How the runtime of a target is made: sources, native libraries, launcher, frozen Python, all into one file.

A runtime file is itself a container (``packer.container.layout``) without a launcher in front and without a model:
the entries under ``runtime/<target>/`` stand in it as they will stand in a bundle, compressed once, so that packing a
model only copies them.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packer import __version__
from packer.container import layout
from packer.container.manifest import Manifest, TargetSummary
from packer.container.writer import ContainerWriter, complete_or_nothing
from packer.runtimes import licences
from packer.toolchain.build_cache import digest_of, file_sha256
from packer.toolchain.chat_library import chat_library
from packer.toolchain.environment import build_environment, fetch_sources
from packer.toolchain.frozen import FrozenInputs, frozen_runtime, python_version
from packer.toolchain.launcher import launcher
from packer.toolchain.llama_cpp import BuildTools, llama_cpp_libraries

if TYPE_CHECKING:
    from collections.abc import Callable

    from packer.toolchain.build_cache import BuildCache

TARGET = "linux-x86_64"
LAUNCHER_NAME = f"launcher/{TARGET}"
COMPRESS_LEVEL = 19
RECIPE = 1


@dataclass(frozen=True, kw_only=True)
class RuntimeParts:
    """The built parts of a runtime, before they become one file."""

    tools: BuildTools
    launcher: Path
    tree: Path


def build_parts(cache: BuildCache, note: Callable[[str], None]) -> RuntimeParts:
    """Build everything that a runtime is made of; each step is reused when its inputs did not change."""
    environment = build_environment(cache, note)
    tools = BuildTools(cache=cache, environment=environment, sources=fetch_sources(cache, environment, note))
    native = launcher(tools, note)
    libraries = llama_cpp_libraries(tools, note)
    inputs = FrozenInputs(tools=tools, libraries=libraries, chat_library=chat_library(tools, TARGET, note))
    tree = frozen_runtime(inputs, note)
    return RuntimeParts(tools=tools, launcher=native, tree=tree)


def build_runtime(cache: BuildCache, note: Callable[[str], None]) -> Path:
    """Return the runtime file of ``linux-x86_64`` for this checkout, building it when missing."""
    parts = build_parts(cache, note)
    digest = digest_of([RECIPE, COMPRESS_LEVEL, __version__, file_sha256(parts.launcher), parts.tree.parent.name,
                        file_sha256(Path(licences.__file__)), file_sha256(Path(layout.__file__))])  # fmt: skip

    def build(work: Path) -> None:
        note("compressing the runtime")
        write_runtime_file(parts, work / f"{TARGET}.runtime")

    return cache.get_or_build("runtime", digest, build) / f"{TARGET}.runtime"


def write_runtime_file(parts: RuntimeParts, output: Path) -> None:
    """Compress ``parts`` into the runtime file ``output``."""
    files = sorted(path for path in parts.tree.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as pool, complete_or_nothing(output, needed_bytes=0, mode=0o644) as descriptor:
        writer = ContainerWriter(descriptor, b"")
        writer.add_bytes(LAUNCHER_NAME, parts.launcher.read_bytes(), mode=0o755, compress_level=COMPRESS_LEVEL)
        described = licences.components(parts.tools, parts.tree)
        for part in described:
            name = f"{layout.LICENSES_PREFIX}{part.name.replace(' ', '-')}.txt"
            writer.add_bytes(name, part.text.encode(), compress_level=COMPRESS_LEVEL)
        writer.add_bytes(
            layout.SBOM_NAME, licences.spdx_document(described, name=TARGET), compress_level=COMPRESS_LEVEL
        )
        runtime_id = tree_digest(parts.tree, files)
        prefix = f"{layout.RUNTIME_PREFIX}{TARGET}/"
        writer.add_bytes(f"{prefix}runtime.id", f"{runtime_id}\n".encode())
        writer.add_files(prefix, parts.tree, files, level=COMPRESS_LEVEL, pool=pool)
        writer.finish(_manifest(writer, parts.tree, runtime_id).to_json())


def tree_digest(tree: Path, files: list[Path]) -> str:
    """Digest of paths, modes and contents: the name of the directory that a target unpacks to."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(tree).as_posix()}\0{path.stat().st_mode & 0o111:o}\0".encode())
        digest.update(file_sha256(path).encode())
    return digest.hexdigest()


def _manifest(writer: ContainerWriter, tree: Path, runtime_id: str) -> Manifest:
    summary = TargetSummary(
        runtime_id=runtime_id,
        requires_glibc=(tree / "requires-glibc").read_text(encoding="ascii").strip(),
        llama_cpp=licences.LLAMA_CPP_COMMIT,
        python=python_version(),
    )
    return Manifest(
        packer_version=__version__,
        title=f"runtime for {TARGET}",
        model=None,
        targets={TARGET: summary},
        launcher_bytes=0,
        launcher_sha256=writer.launcher_sha256,
        sha256=writer.sha256,
    )
