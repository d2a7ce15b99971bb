"""Compiles the native launcher with zig: for Linux a static program, so that it starts on any x86-64; for Windows a PE.

The sources of a target are all ``.c`` files but those whose names end in another system's name.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packer import __version__
from packer.toolchain import process, windows_resources
from packer.toolchain.build_cache import digest_of, digest_of_files, file_sha256
from packer.toolchain.llama_cpp import BuildTools, zig_version

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).parent.parent / "launcher"
SYSTEMS = ("linux", "windows")
COMMON_FLAGS = ["-O2", "-g0", "-ffunction-sections", "-fdata-sections"]
LAUNCHER_FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-Wl,--gc-sections"]
ZSTD_DEFINITIONS = ["-DZSTD_LEGACY_SUPPORT=0", "-DZSTD_DISABLE_ASM=1", "-DZSTD_TRACE=0", "-DZSTDLIB_VISIBLE="]


@dataclass(frozen=True, kw_only=True)
class LauncherRecipe:
    """How the launcher of a target is built: zig's name for it, the ending of its own files, what it is linked with."""

    triple: str
    system: str
    libraries: tuple[str, ...] = ()
    resources: bool = False


LAUNCHER_RECIPES = {
    "linux-x86_64": LauncherRecipe(triple="x86_64-linux-musl", system="linux"),
    "windows-x86_64": LauncherRecipe(
        triple="x86_64-windows-gnu", system="windows", libraries=("-lbcrypt", "-luser32"), resources=True
    ),
}


def launcher_sources(system: str) -> list[Path]:
    """The C files that make the launcher for ``system``, sorted."""
    others = tuple(f"_{other}.c" for other in SYSTEMS if other != system)
    return sorted(path for path in SOURCE.glob("*.c") if not path.name.endswith(others))


def launcher(tools: BuildTools, target: str, note: Callable[[str], None]) -> Path:
    """Return the compiled launcher, building it when missing (seconds)."""
    recipe = LAUNCHER_RECIPES[target]
    files = [*launcher_sources(recipe.system), *SOURCE.glob("*.h")]
    digest = digest_of(
        [
            recipe.triple,
            recipe.libraries,
            [__version__, file_sha256(Path(windows_resources.__file__))] if recipe.resources else [],
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
        compile_launcher(tools.environment.zig, tools.sources.zstd, recipe, work / "launcher")

    return tools.cache.get_or_build("launcher", digest, build) / "launcher"


def compile_launcher(zig: Path, zstd: Path, recipe: LauncherRecipe, output: Path) -> None:
    """Compile the launcher and zstd's amalgamated source in ``zstd`` into the program ``output``.

    Both are compiled by relative names in a scratch directory, so that no path of this machine gets into the bytes.
    """
    scratch = output.with_name("objects")
    shutil.copytree(SOURCE, scratch / "launcher")
    shutil.copytree(zstd, scratch / "zstd")
    compiler = ["cc", "-target", recipe.triple, *COMMON_FLAGS]
    process.run([zig, *compiler, "-w", *ZSTD_DEFINITIONS, "-c", "zstd/zstd.c", "-o", "zstd.o"], cwd=scratch)
    files = [f"launcher/{path.name}" for path in launcher_sources(recipe.system)]
    if recipe.resources:
        (scratch / "launcher.res").write_bytes(windows_resources.resource_file(__version__))
        files.append("launcher.res")
    program = scratch / "program.exe"
    process.run(
        [zig, *compiler, *LAUNCHER_FLAGS, "-isystem", "zstd", *files, "zstd.o", *recipe.libraries, "-o", program.name],
        cwd=scratch,
    )
    shutil.move(program, output)
    shutil.rmtree(scratch)
