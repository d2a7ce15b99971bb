"""Builds the peers to compare with from the same pinned source: llama.cpp's own server, by gcc for this machine."""

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


def llama_server() -> Path:
    """Return ``llama-server`` built with gcc and OpenMP for this very CPU; builds it when missing (some 10 minutes)."""
    cache = default_build_cache()
    environment = build_environment(cache, _note)
    sources = fetch_sources(cache, environment, _note)

    def build(work: Path) -> None:
        tree = work / "build"
        definitions = [f"-D{name}={value}" for name, value in OPTIONS.items()]
        maker = f"-DCMAKE_MAKE_PROGRAM={environment.ninja}"
        process.run(
            [environment.cmake, "-G", "Ninja", "-S", sources.llama_cpp, "-B", tree, maker, *definitions],
            env=process.clean_environment(),
        )
        process.run([environment.ninja, "-C", tree, "llama-server"], env=process.clean_environment(), on_line=_note)
        shutil.copy(tree / "bin" / "llama-server", work / "llama-server")
        shutil.rmtree(tree)

    return cache.get_or_build("peer-llama-server", digest_of([OPTIONS, sources.digests]), build) / "llama-server"


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.stdout.write(f"{llama_server()}\n")
