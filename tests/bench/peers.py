"""Builds the peers to compare with from the same pinned source, by gcc for this machine: llama.cpp's own server, its
CPU library to be loaded in place of the packed one, and the libraries that llama-cpp-python loads."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from packer.toolchain import process
from packer.toolchain.build_cache import default_build_cache, digest_of
from packer.toolchain.environment import build_environment, fetch_sources

if TYPE_CHECKING:
    from pathlib import Path

KEEP_STORES = "-fno-tree-dse -fno-dse"
"""gcc 12 tells its optimizer that loading a tile configuration (``_tile_loadconfig`` in ``amxtileintrin.h``) reads 8
of its 64 bytes; the others are then never stored, and the first product on a processor with AMX ends in a protection
fault. Without the elimination of dead stores the peer works there, with its fastest path."""
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "CMAKE_CXX_FLAGS": KEEP_STORES,
    "GGML_NATIVE": "ON",
    "GGML_CCACHE": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_TOOLS": "ON",
    "LLAMA_BUILD_SERVER": "ON",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_CURL": "OFF",
    "BUILD_SHARED_LIBS": "OFF",
}


SHARED_OPTIONS = OPTIONS | {
    "BUILD_SHARED_LIBS": "ON",
    "CMAKE_INSTALL_RPATH": "$ORIGIN",
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
}
CPU_LIBRARY_OPTIONS = OPTIONS | {
    "CMAKE_C_FLAGS": f"-march=native {KEEP_STORES}",
    "CMAKE_CXX_FLAGS": f"-march=native {KEEP_STORES}",
    "GGML_NATIVE": "OFF",  # which, as an option, can't be had for a library that is loaded at run time
    "BUILD_SHARED_LIBS": "ON",
    "CMAKE_PLATFORM_NO_VERSIONED_SONAME": "ON",  # it meets the packed libggml-base.so
    "GGML_BACKEND_DL": "ON",
}


def llama_server() -> Path:
    """Return ``llama-server`` built with gcc and OpenMP for this very CPU; builds it when missing (some 10 minutes)."""
    return _built("peer-llama-server", OPTIONS, "llama-server") / "llama-server"


def cuda_llama_server(options: dict[str, str]) -> Path:
    """Return ``llama-server`` with CUDA, as ``options`` say; builds it when missing."""
    return _built("peer-llama-server-cuda", OPTIONS | options, "llama-server") / "llama-server"


def gcc_cpu_library(*, openmp: bool) -> Path:
    """Return ggml's CPU library, loadable at run time, for this very CPU; builds it when missing (a minute or two)."""
    options = CPU_LIBRARY_OPTIONS | {"GGML_OPENMP": "ON" if openmp else "OFF"}
    return _built("peer-cpu-library", options, "ggml-cpu", "libggml-cpu.so") / "libggml-cpu.so"


def llama_cpp_python() -> Path:
    """Return a directory for the module search path with llama-cpp-python as ``pip install`` would leave it here.

    The package comes as source and has its llama.cpp compiled where it is installed, by gcc with OpenMP and for that
    very CPU; so is this, from the source that the package contains. Builds it when missing (some 5 minutes).
    """
    libraries = _built("peer-llama-cpp-python", SHARED_OPTIONS, "llama", "*.so*")
    cache = default_build_cache()
    sources = fetch_sources(cache, build_environment(cache, _note), _note)

    def build(work: Path) -> None:
        shutil.copytree(sources.llama_cpp_python / "llama_cpp", work / "llama_cpp")
        shutil.copytree(libraries, work / "llama_cpp" / "lib", symlinks=True, dirs_exist_ok=True)

    return cache.get_or_build("peer-llama-cpp-python-site", digest_of([libraries.name, sources.digests]), build)


def _built(name: str, options: dict[str, str], target: str, product: str | None = None) -> Path:
    """Build one target of llama.cpp and return the directory with what comes out: files by name, or by a pattern."""
    cache = default_build_cache()
    environment = build_environment(cache, _note)
    sources = fetch_sources(cache, environment, _note)

    def build(work: Path) -> None:
        tree = work / "build"
        definitions = [f"-D{key}={value}" for key, value in options.items()]
        maker = f"-DCMAKE_MAKE_PROGRAM={environment.ninja}"
        process.run(
            [environment.cmake, "-G", "Ninja", "-S", sources.llama_cpp, "-B", tree, maker, *definitions],
            env=process.clean_environment(),
        )
        process.run([environment.ninja, "-C", tree, target], env=process.clean_environment(), on_line=_note)
        for path in (tree / "bin").glob(product or target):
            shutil.copy(path, work, follow_symlinks=False)
        shutil.rmtree(tree)

    return cache.get_or_build(name, digest_of([options, sources.digests]), build)


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.stdout.write(f"{llama_server()}\n")
