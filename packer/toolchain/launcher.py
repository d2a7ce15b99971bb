"""Compiles the native launcher with zig: a static program, so that it starts on any x86-64 Linux."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from packer.toolchain import process
from packer.toolchain.build_cache import digest_of, digest_of_files
from packer.toolchain.llama_cpp import BuildTools, zig_version

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).parent.parent / "launcher"
TARGET = "x86_64-linux-musl"


def launcher(tools: BuildTools, note: Callable[[str], None]) -> Path:
    """Return the compiled launcher, building it when missing (seconds)."""
    files = [path for path in SOURCE.iterdir() if path.suffix in {".c", ".h"}]
    digest = digest_of(
        [TARGET, FLAGS, digest_of_files(SOURCE, files), tools.sources.digests, zig_version(tools.environment)]
    )

    def build(work: Path) -> None:
        note("compiling the launcher")
        sources = work / "sources"
        shutil.copytree(SOURCE, sources)
        shutil.copy(tools.sources.zstd / "zstd.c", sources)
        shutil.copy(tools.sources.zstd / "zstd.h", sources)
        compile_launcher(tools.environment.zig, sources, work / "launcher")
        shutil.rmtree(sources)

    return tools.cache.get_or_build("launcher", digest, build) / "launcher"


FLAGS = ["-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-static", "-s"]


def compile_launcher(zig: Path, sources: Path, output: Path) -> None:
    """Compile every C file in ``sources`` into the program ``output``."""
    files = sorted(path.name for path in sources.glob("*.c"))
    process.run([zig, "cc", "-target", TARGET, *FLAGS, *files, "-o", output], cwd=sources)
