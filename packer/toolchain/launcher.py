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
COMMON_FLAGS = ["-O2", "-g0", "-ffunction-sections", "-fdata-sections"]
LAUNCHER_FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-Wl,--gc-sections"]
ZSTD_DEFINITIONS = ["-DZSTD_LEGACY_SUPPORT=0", "-DZSTD_DISABLE_ASM=1", "-DZSTD_TRACE=0", "-DZSTDLIB_VISIBLE="]


def launcher(tools: BuildTools, note: Callable[[str], None]) -> Path:
    """Return the compiled launcher, building it when missing (seconds)."""
    files = [path for path in SOURCE.iterdir() if path.suffix in {".c", ".h"}]
    digest = digest_of(
        [
            TARGET,
            COMMON_FLAGS,
            LAUNCHER_FLAGS,
            ZSTD_DEFINITIONS,
            digest_of_files(SOURCE, files),
            tools.sources.digests,
            zig_version(tools.environment),
        ]
    )

    def build(work: Path) -> None:
        note("compiling the launcher")
        compile_launcher(tools.environment.zig, tools.sources.zstd, work / "launcher")

    return tools.cache.get_or_build("launcher", digest, build) / "launcher"


def compile_launcher(zig: Path, zstd: Path, output: Path) -> None:
    """Compile the launcher and zstd's amalgamated source in ``zstd`` into the program ``output``.

    Both are compiled by relative names in a scratch directory, so that no path of this machine gets into the bytes.
    """
    scratch = output.with_name("objects")
    shutil.copytree(SOURCE, scratch / "launcher")
    shutil.copytree(zstd, scratch / "zstd")
    compiler = ["cc", "-target", TARGET, *COMMON_FLAGS]
    process.run([zig, *compiler, "-w", *ZSTD_DEFINITIONS, "-c", "zstd/zstd.c", "-o", "zstd.o"], cwd=scratch)
    files = sorted(f"launcher/{path.name}" for path in SOURCE.glob("*.c"))
    process.run(
        [zig, *compiler, *LAUNCHER_FLAGS, "-isystem", "zstd", *files, "zstd.o", "-o", output.absolute()], cwd=scratch
    )
    shutil.rmtree(scratch)
