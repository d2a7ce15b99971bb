"""Builds ggml's Vulkan backend as a library of its own, from the same source as llama.cpp, which is not built again.

The shaders are compiled by Debian 13's ``glslc``, run by that release's own loader wherever it is: the one of Debian 12
knows no cooperative matrices, which current GPUs read prompts with. The library is linked against a stand-in that has
the names of the system's Vulkan loader and no code, so neither the loader nor a driver is needed for building; where
the loader is absent at run time, the library can't be loaded and nothing else happens.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.toolchain import process
from packer.toolchain.build_cache import digest_of
from packer.toolchain.debian import debian_packages, packages_digest
from packer.toolchain.llama_cpp import LIBRARY_RECIPES, write_wrappers, zig_version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.toolchain.llama_cpp import BuildTools, LibraryRecipe

RECIPE = 1
OPTIONS = {
    "GGML_CPU": "OFF",
    "GGML_CPU_ALL_VARIANTS": "OFF",
    "GGML_VULKAN": "ON",
}
LIBRARY_NAMES = {"linux-x86_64": "libggml-vulkan.so", "windows-x86_64": "ggml-vulkan.dll"}
HOST_TARGET = "linux-x86_64"
PROTOTYPE = re.compile(r"VKAPI_CALL (vk[A-Za-z0-9]+)\(")
HEADERS = "usr/include/vulkan/vulkan_core.h"


def vulkan_backend(tools: BuildTools, target: str, note: Callable[[str], None]) -> Path:
    """Return the Vulkan backend of ``target``, building it when missing (about 5 minutes). Raises BuildError."""
    recipe = LIBRARY_RECIPES[target]
    digest = digest_of(
        [RECIPE, OPTIONS, *recipe.identity, tools.sources.digests, zig_version(tools.environment), packages_digest()]
    )
    entry = tools.cache.get_or_build("ggml-vulkan", digest, lambda work: _build(tools, target, work, note))
    return entry / LIBRARY_NAMES[target]


def _build(tools: BuildTools, target: str, work: Path, note: Callable[[str], None]) -> None:
    packages = debian_packages(tools.cache, note)
    note("configuring the Vulkan backend")
    recipe, scratch = LIBRARY_RECIPES[target], work / "scratch"
    scratch.mkdir()
    definitions = recipe.options | OPTIONS | write_wrappers(scratch / "zig", tools.environment.zig, recipe)
    host = write_wrappers(scratch / "host-zig", tools.environment.zig, LIBRARY_RECIPES[HOST_TARGET])
    mapped = {tools.sources.llama_cpp: "llama.cpp", scratch: "build"}
    flags = " ".join(f"-ffile-prefix-map={path}={name}" for path, name in mapped.items())
    definitions |= {
        "CMAKE_C_FLAGS": flags,
        "CMAKE_CXX_FLAGS": flags,
        "CMAKE_MAKE_PROGRAM": str(tools.environment.ninja),
        "CMAKE_INSTALL_RPATH": "$ORIGIN/..",
        "GGML_VULKAN_SHADERS_GEN_TOOLCHAIN": str(_write_host_toolchain(scratch / "host.cmake", host)),
        "SPIRV-Headers_DIR": str(packages / "usr" / "share" / "cmake" / "SPIRV-Headers"),
        "Vulkan_INCLUDE_DIR": str(_copy_headers(packages, scratch / "include")),
        "Vulkan_LIBRARY": str(_write_loader_stand_in(tools.environment.zig, recipe, packages, scratch)),
        "Vulkan_GLSLC_EXECUTABLE": str(_write_glslc(packages, scratch / "glslc")),
    }
    base = process.clean_environment(CC=host["CMAKE_C_COMPILER"], CXX=host["CMAKE_CXX_COMPILER"])
    environment = base | {"PATH": f"{tools.environment.root / 'bin'}:{base.get('PATH', '')}"}
    process.run(
        [
            tools.environment.cmake,
            *("-G", "Ninja", "-S", tools.sources.llama_cpp, "-B", scratch / "build"),
            *(f"-D{name}={value}" for name, value in definitions.items()),
        ],
        env=environment,
    )
    process.run(
        [tools.environment.ninja, "-C", scratch / "build", "ggml-vulkan"],
        env=environment,
        on_line=lambda line: _note_step(line, note),
    )
    _collect(scratch / "build", LIBRARY_NAMES[target], work)
    shutil.rmtree(scratch)


def _note_step(line: str, note: Callable[[str], None]) -> None:
    if step := re.match(r"\[(\d+)/(\d+)\]", line):
        note(f"compiling the Vulkan backend {step[1]}/{step[2]}")


def _write_host_toolchain(path: Path, host: dict[str, str]) -> Path:
    """Tell CMake which compiler makes programs for this machine while it compiles for another."""
    path.write_text("".join(f'set({name} "{value}")\n' for name, value in host.items()), encoding="utf-8")
    return path


def _copy_headers(packages: Path, destination: Path) -> Path:
    """Put Vulkan's and SPIR-V's headers where no header of the C library stands beside them."""
    for name in ("vulkan", "vk_video", "spirv"):
        shutil.copytree(packages / "usr" / "include" / name, destination / name)
    return destination


def _write_glslc(packages: Path, script: Path) -> Path:
    """Write a script that runs the fetched shader compiler with the C library it was built for."""
    libraries = packages / "usr" / "lib" / "x86_64-linux-gnu"
    loader = packages / "usr" / "lib64" / "ld-linux-x86-64.so.2"
    program = packages / "usr" / "bin" / "glslc"
    script.write_text(f'#!/bin/sh\nexec "{loader}" --library-path "{libraries}" "{program}" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script


def _write_loader_stand_in(zig: Path, recipe: LibraryRecipe, packages: Path, scratch: Path) -> Path:
    """Make a library to link with that has every function of Vulkan's loader by name."""
    functions = loader_functions((packages / HEADERS).read_text(encoding="utf-8"))
    if recipe.is_windows:
        definition = scratch / "vulkan-1.def"
        definition.write_text("LIBRARY vulkan-1.dll\nEXPORTS\n" + "\n".join(functions) + "\n", encoding="ascii")
        library = scratch / "libvulkan-1.a"
        process.run([zig, "dlltool", "-m", "i386:x86-64", "-d", definition, "-D", "vulkan-1.dll", "-l", library])
        return library
    source, library = scratch / "vulkan.c", scratch / "libvulkan.so"
    source.write_text("".join(f"void {name}(void) {{}}\n" for name in functions), encoding="ascii")
    soname = "-Wl,-soname,libvulkan.so.1"
    process.run([zig, "cc", "-target", recipe.triple, "-shared", "-nostdlib", soname, source, "-o", library])
    return library


def loader_functions(header: str) -> list[str]:
    """The names of all functions that Vulkan's header declares, sorted."""
    functions = sorted(set(PROTOTYPE.findall(header)))
    if "vkGetInstanceProcAddr" not in functions:
        raise BuildError(f"{HEADERS}: no functions were found in it; the package differs from the one expected")
    return functions


def _collect(build: Path, name: str, destination: Path) -> None:
    found = sorted(path for path in build.rglob(name) if path.is_file())
    if len(found) != 1:
        raise BuildError(f"{name}: expected one in the finished build, found {len(found)}")
    shutil.copy(found[0], destination / name)
