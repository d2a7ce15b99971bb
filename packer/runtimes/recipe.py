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
from packer.programs import LINUX, WINDOWS
from packer.runtimes import licences
from packer.toolchain.build_cache import digest_of, file_sha256
from packer.toolchain.chat_library import chat_library
from packer.toolchain.environment import build_environment, fetch_sources
from packer.toolchain.frozen import FrozenInputs, frozen_runtime, python_version
from packer.toolchain.frozen_windows import frozen_windows_runtime
from packer.toolchain.image_library import image_library
from packer.toolchain.launcher import launcher
from packer.toolchain.llama_cpp import BuildTools, llama_cpp_libraries
from packer.toolchain.windows_python import windows_python

if TYPE_CHECKING:
    from collections.abc import Callable

    from packer.toolchain.build_cache import BuildCache
    from packer.toolchain.windows_python import WindowsPython

TARGETS = (LINUX, WINDOWS)
COMPRESS_LEVEL = 19
RECIPE = 1


@dataclass(frozen=True, kw_only=True)
class RuntimeParts:
    """The built parts of a runtime, before they become one file; ``windows`` where CPython came from for Windows."""

    target: str
    tools: BuildTools
    launcher: Path
    tree: Path
    windows: WindowsPython | None = None

    @property
    def python(self) -> str:
        """Version of the frozen Python."""
        return self.windows.version if self.windows else python_version()

    @property
    def required_glibc(self) -> str:
        """The glibc that the host must have for its own to be used; empty where there is none."""
        path = self.tree / "requires-glibc"
        return path.read_text(encoding="ascii").strip() if path.exists() else ""


def build_parts(cache: BuildCache, note: Callable[[str], None], target: str = LINUX) -> RuntimeParts:
    """Build everything that a runtime is made of; each step is reused when its inputs did not change."""
    environment = build_environment(cache, note)
    tools = BuildTools(cache=cache, environment=environment, sources=fetch_sources(cache, environment, note))
    native = launcher(tools, target, note)
    libraries = llama_cpp_libraries(tools, target, note)
    inputs = FrozenInputs(
        tools=tools,
        libraries=libraries,
        chat_library=chat_library(tools, target, note),
        image_library=image_library(tools, target, libraries, note),
    )
    if target == WINDOWS:
        python = windows_python(cache, environment, note)
        tree = frozen_windows_runtime(inputs, python, note)
        return RuntimeParts(target=target, tools=tools, launcher=native, tree=tree, windows=python)
    return RuntimeParts(target=target, tools=tools, launcher=native, tree=frozen_runtime(inputs, note))


def build_runtime(cache: BuildCache, target: str, note: Callable[[str], None]) -> Path:
    """Return the runtime file of ``target`` for this checkout, building it when missing."""
    parts = build_parts(cache, note, target)
    digest = digest_of([RECIPE, COMPRESS_LEVEL, __version__, file_sha256(parts.launcher), parts.tree.parent.name,
                        file_sha256(Path(licences.__file__)), file_sha256(Path(layout.__file__))])  # fmt: skip

    def build(work: Path) -> None:
        note("compressing the runtime")
        write_runtime_file(parts, work / f"{target}.runtime")

    return cache.get_or_build("runtime", digest, build) / f"{target}.runtime"


def write_runtime_file(parts: RuntimeParts, output: Path) -> None:
    """Compress ``parts`` into the runtime file ``output``."""
    files = sorted(path for path in parts.tree.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as pool, complete_or_nothing(output, needed_bytes=0, mode=0o644) as descriptor:
        writer = ContainerWriter(descriptor, b"")
        program = parts.launcher.read_bytes()
        writer.add_bytes(layout.launcher_name(parts.target), program, mode=0o755, compress_level=COMPRESS_LEVEL)
        described = licences.components(parts.tools, parts.tree, parts.windows)
        for part in described:
            name = f"{layout.LICENSES_PREFIX}{part.name.replace(' ', '-')}.txt"
            writer.add_bytes(name, part.text.encode(), compress_level=COMPRESS_LEVEL)
        document = licences.spdx_document(described, name=parts.target)
        writer.add_bytes(layout.SBOM_NAME, document, compress_level=COMPRESS_LEVEL)
        runtime_id = tree_digest(parts.tree, files)
        prefix = f"{layout.RUNTIME_PREFIX}{parts.target}/"
        writer.add_bytes(f"{prefix}runtime.id", f"{runtime_id}\n".encode())
        writer.add_files(prefix, parts.tree, files, level=COMPRESS_LEVEL, pool=pool)
        writer.finish(_manifest(writer, parts, runtime_id).to_json())


def tree_digest(tree: Path, files: list[Path]) -> str:
    """Digest of paths, modes and contents: the name of the directory that a target unpacks to."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(tree).as_posix()}\0{path.stat().st_mode & 0o111:o}\0".encode())
        digest.update(file_sha256(path).encode())
    return digest.hexdigest()


def _manifest(writer: ContainerWriter, parts: RuntimeParts, runtime_id: str) -> Manifest:
    summary = TargetSummary(
        runtime_id=runtime_id,
        requires_glibc=parts.required_glibc,
        llama_cpp=licences.LLAMA_CPP_COMMIT,
        python=parts.python,
    )
    return Manifest(
        packer_version=__version__,
        title=f"runtime for {parts.target}",
        model=None,
        targets={parts.target: summary},
        launcher_bytes=0,
        launcher_sha256=writer.launcher_sha256,
        sha256=writer.sha256,
    )
