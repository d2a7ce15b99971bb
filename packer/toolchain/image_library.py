"""Builds libpacker-images: llama.cpp's multimodal library (``tools/mtmd``) behind a small C interface of our own.

The sources are compiled beside ours in ``packer/image_library`` by zig and linked against the libllama and ggml that
the runtime has anyway. Everything but the interface is hidden. Some of ggml's functions get other names in the upstream
sources (``RENAMED``): opening a GGUF, so that a projector is read where it stands in a larger file; the one behind
failed assertions, so that a picture or a projector that upstream does not like is an error, not the end; and two that
take memory, so that a device without enough of it is an error as well.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.toolchain import process, windows_link
from packer.toolchain.build_cache import digest_of, digest_of_files
from packer.toolchain.chat_library import FLAGS, OWN_FLAGS
from packer.toolchain.llama_cpp import BuildTools, zig_version

if TYPE_CHECKING:
    from collections.abc import Callable

RECIPE = 1
SOURCE = Path(__file__).parent.parent / "image_library"
UPSTREAM_DIRECTORIES = ("tools/mtmd", "include", "ggml/include", "vendor/stb")
UPSTREAM_SOURCES = (
    "tools/mtmd/mtmd.cpp",
    "tools/mtmd/mtmd-image.cpp",
    "tools/mtmd/mtmd-audio.cpp",
    "tools/mtmd/clip.cpp",
    "tools/mtmd/models/*.cpp",
)
OWN_SOURCES = ("own/decode.cpp", "own/image_abi.cpp", "own/upstream.cpp")
INCLUDES = ("tools/mtmd", "include", "ggml/include", "vendor")
RENAMED = (
    "-Dgguf_init_from_file=packer_images_open_gguf",
    "-Dggml_abort=packer_images_abort",
    "-Dggml_backend_alloc_ctx_tensors_from_buft=packer_images_alloc_tensors",
    "-Dggml_backend_sched_reserve=packer_images_reserve",
)


@dataclass(frozen=True, kw_only=True)
class ImageLibraryRecipe:
    """How the library of a target is built: zig's name for it, what it is called and what it is linked against."""

    triple: str
    name: str
    libraries: tuple[str, ...]
    link_flags: tuple[str, ...] = ()
    upstream_flags: tuple[str, ...] = ()
    needs_import_libraries: bool = False


IMAGE_LIBRARY_RECIPES = {
    "linux-x86_64": ImageLibraryRecipe(
        triple="x86_64-linux-gnu.2.28",
        name="libpacker-images.so",
        libraries=("libllama.so", "libggml.so", "libggml-base.so"),
        link_flags=("-Wl,-z,defs", "-Wl,-rpath,$ORIGIN", "-Wl,--version-script=own/exports.map"),
    ),
    "windows-x86_64": ImageLibraryRecipe(
        triple="x86_64-windows-gnu",
        name="packer-images.dll",
        libraries=("libllama.dll", "ggml.dll", "ggml-base.dll"),
        upstream_flags=("-D_USE_MATH_DEFINES", "-D_GNU_SOURCE"),
        needs_import_libraries=True,
    ),
}


def image_library(tools: BuildTools, target: str, libraries: Path, note: Callable[[str], None]) -> Path:
    """Return the library, building it when missing (a minute or two); ``libraries`` are llama.cpp's own."""
    recipe = IMAGE_LIBRARY_RECIPES[target]
    own = [path for path in SOURCE.iterdir() if path.suffix in {".cpp", ".h", ".map"}]
    digest = digest_of(
        [
            RECIPE,
            [recipe.triple, recipe.name, recipe.libraries, recipe.link_flags, *recipe.upstream_flags],
            [UPSTREAM_SOURCES, OWN_SOURCES, INCLUDES, FLAGS, OWN_FLAGS, RENAMED],
            digest_of_files(SOURCE, own),
            libraries.name,
            tools.sources.digests,
            zig_version(tools.environment),
        ]
    )

    def build(work: Path) -> None:
        note("compiling llama.cpp's multimodal library")
        compile_image_library(tools.environment.zig, tools.sources.llama_cpp, recipe, libraries, work / recipe.name)

    return tools.cache.get_or_build("image-library", digest, build) / recipe.name


def compile_image_library(
    zig: Path, llama_cpp: Path, recipe: ImageLibraryRecipe, libraries: Path, output: Path
) -> None:
    """Compile the library from the llama.cpp tree at ``llama_cpp`` into the file ``output``.

    All sources are compiled by relative names in a scratch directory, so that no path of this machine gets into the
    bytes.
    """
    scratch = output.with_name("objects")
    for name in UPSTREAM_DIRECTORIES:
        shutil.copytree(llama_cpp / name, scratch / name)
    shutil.copytree(SOURCE, scratch / "own")
    upstream = sorted(
        path.relative_to(scratch).as_posix() for pattern in UPSTREAM_SOURCES for path in scratch.glob(pattern)
    )
    compiler: list[str | Path] = [zig, "c++", "-target", recipe.triple]
    includes = [flag for name in INCLUDES for flag in ("-isystem", name)]

    def compile_one(name: str) -> str:
        special = ("-Iown", *OWN_FLAGS) if name in OWN_SOURCES else ("-w", *RENAMED, *recipe.upstream_flags)
        result = f"{name.replace('/', '_')}.o"
        process.run([*compiler, *FLAGS, *special, *includes, "-c", name, "-o", result], cwd=scratch)
        return result

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, [*OWN_SOURCES, *upstream]))
    linked_with = [_linkable(zig, libraries / name, recipe, scratch) for name in recipe.libraries]
    link = ["-shared", "-s", "-Wl,--gc-sections", *recipe.link_flags]
    process.run([*compiler, *link, *objects, *linked_with, "-o", recipe.name], cwd=scratch)
    shutil.move(scratch / recipe.name, output)
    shutil.rmtree(scratch)


def _linkable(zig: Path, library: Path, recipe: ImageLibraryRecipe, scratch: Path) -> str:
    """Put what the linker needs of a shared library into ``scratch``, without its path; return the name of that."""
    if not recipe.needs_import_libraries:
        shutil.copy(library, scratch / library.name)
        return library.name
    wanted = scratch / f"{library.name}.a"
    if windows_link.write_import_library(str(zig), library, wanted) != 0:
        raise BuildError(f"{library}: no import library can be made of it")
    return wanted.name
