"""Builds llama.cpp's shared libraries with every CPU variant, by zig, from the pinned source.

The libraries carry no version in their names and find each other beside themselves (``$ORIGIN``): libllama and the
binding must resolve to the same libggml file, or loading fails with "no backends are loaded".
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.toolchain import process
from packer.toolchain.build_cache import digest_of, file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable

    from packer.toolchain.build_cache import BuildCache
    from packer.toolchain.environment import BuildEnvironment, Sources

RECIPE = 1
MIN_CPU_VARIANTS = 10
COMMON_OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "CMAKE_SHARED_LINKER_FLAGS": "-Wl,-s",
    "CMAKE_MODULE_LINKER_FLAGS": "-Wl,-s",
    "BUILD_SHARED_LIBS": "ON",
    "GGML_BACKEND_DL": "ON",
    "GGML_CPU_ALL_VARIANTS": "ON",
    "GGML_NATIVE": "OFF",
    "GGML_OPENMP": "OFF",
    "GGML_CCACHE": "OFF",
    "LLAMA_BUILD_COMMON": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_TOOLS": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_CURL": "OFF",
}


@dataclass(frozen=True, kw_only=True)
class LibraryRecipe:
    """How the libraries of a target are built: zig's name for it, CMake's options, and what comes out.

    ``links_with`` is a Python script that stands before the compiler whenever it links a shared library.
    """

    triple: str
    options: dict[str, str]
    libraries: tuple[str, ...]
    variants: str
    links_with: Path | None = None

    @property
    def is_windows(self) -> bool:
        """Whether the libraries are DLLs."""
        return "windows" in self.triple

    @property
    def identity(self) -> list[object]:
        """What decides the content of the libraries, apart from sources and compiler."""
        script = [] if self.links_with is None else [file_sha256(self.links_with)]
        return [RECIPE, self.triple, self.options, *script]


LINUX = LibraryRecipe(
    triple="x86_64-linux-gnu.2.28",
    options=COMMON_OPTIONS
    | {
        "CMAKE_PLATFORM_NO_VERSIONED_SONAME": "ON",
        "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
        "CMAKE_INSTALL_RPATH": "$ORIGIN",
    },
    libraries=("libllama.so", "libggml.so", "libggml-base.so"),
    variants="libggml-cpu-*.so",
)
WINDOWS = LibraryRecipe(
    triple="x86_64-windows-gnu",
    options=COMMON_OPTIONS | {"CMAKE_SYSTEM_NAME": "Windows", "CMAKE_SYSTEM_PROCESSOR": "AMD64"},
    libraries=("libllama.dll", "ggml.dll", "ggml-base.dll"),
    variants="ggml-cpu-*.dll",
    links_with=Path(__file__).with_name("windows_link.py"),
)
LIBRARY_RECIPES = {"linux-x86_64": LINUX, "windows-x86_64": WINDOWS}


@dataclass(frozen=True, kw_only=True)
class BuildTools:
    """What a native build needs."""

    cache: BuildCache
    environment: BuildEnvironment
    sources: Sources


def llama_cpp_libraries(tools: BuildTools, target: str, note: Callable[[str], None]) -> Path:
    """Return a directory with libllama, libggml and the CPU variants; builds it when missing (about 6 minutes)."""
    recipe = LIBRARY_RECIPES[target]
    digest = digest_of([*recipe.identity, tools.sources.digests, zig_version(tools.environment)])
    return tools.cache.get_or_build("llama-cpp", digest, lambda work: _build(tools, recipe, work, note))


def zig_version(environment: BuildEnvironment) -> str:
    """The version of the compiler, part of every native digest."""
    return process.run([environment.zig, "version"]).strip()


def _build(tools: BuildTools, recipe: LibraryRecipe, work: Path, note: Callable[[str], None]) -> None:
    note("configuring llama.cpp")
    build = work / "build"
    wrappers = write_wrappers(work / "zig", tools.environment.zig, recipe)
    definitions = recipe.options | wrappers | {"CMAKE_MAKE_PROGRAM": str(tools.environment.ninja)}
    environment = process.clean_environment()
    process.run(
        [
            tools.environment.cmake,
            *("-G", "Ninja", "-S", tools.sources.llama_cpp, "-B", build),
            *(f"-D{name}={value}" for name, value in definitions.items()),
        ],
        env=environment,
    )
    process.run([tools.environment.ninja, "-C", build], env=environment, on_line=lambda line: _note_step(line, note))
    _collect(recipe, build / "bin", work)
    for scratch in (build, work / "zig"):
        shutil.rmtree(scratch)


def _note_step(line: str, note: Callable[[str], None]) -> None:
    if step := re.match(r"\[(\d+)/(\d+)\]", line):
        note(f"compiling llama.cpp {step[1]}/{step[2]}")


def write_wrappers(directory: Path, zig: Path, recipe: LibraryRecipe) -> dict[str, str]:
    """Write the compiler and archiver scripts that CMake calls; return the definitions that name them."""
    directory.mkdir()
    tools = {
        "CMAKE_C_COMPILER": f"cc -target {recipe.triple}",
        "CMAKE_CXX_COMPILER": f"c++ -target {recipe.triple}",
        "CMAKE_AR": "ar",
        "CMAKE_RANLIB": "ranlib",
        "CMAKE_RC_COMPILER": "rc",
    }
    definitions = {}
    for name, arguments in tools.items():
        script = directory / name.lower()
        linking = ""
        if recipe.links_with is not None and name.endswith("_COMPILER"):
            command = f'"{sys.executable}" "{recipe.links_with}" "{zig}" {arguments} "$@"'
            linking = f'case " $* " in *" -shared "*) exec {command} ;; esac\n'
        script.write_text(f'#!/bin/sh\n{linking}exec "{zig}" {arguments} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
        definitions[name] = str(script)
    return definitions


def _collect(recipe: LibraryRecipe, built: Path, destination: Path) -> None:
    variants = sorted(built.glob(recipe.variants))
    if len(variants) < MIN_CPU_VARIANTS:
        raise BuildError(f"llama.cpp: built {len(variants)} CPU variants, expected at least {MIN_CPU_VARIANTS}")
    for library in [*(built / name for name in recipe.libraries), *variants]:
        shutil.copy(library.resolve(), destination / library.name)
