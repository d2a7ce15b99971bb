"""Builds ``llama-server`` with CUDA and the real cuBLAS from the pinned source, and fetches that cuBLAS (450 MB)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from packer.toolchain import process
from packer.toolchain.build_cache import default_build_cache, file_sha256
from packer.toolchain.cuda.toolkit import FOLDER, cuda_toolkit
from packer.toolchain.environment import LOCKS, build_environment
from tests.bench.peers import cuda_llama_server

if TYPE_CHECKING:
    from pathlib import Path

LOCK = LOCKS / "bench-cuda.txt"
LIBRARY = "libcublas.so.13"


def full_cublas() -> Path:
    """Return the folder with NVIDIA's cuBLAS in ``lib`` and its headers in ``include``; fetches it when missing."""
    cache = default_build_cache()
    environment = build_environment(cache, _note)

    def build(work: Path) -> None:
        _note("fetching cuBLAS")
        pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-compile"]
        process.run(
            [environment.python, *pip, "--only-binary=:all:", "--require-hashes", "-r", LOCK, "-t", work],
            env=process.clean_environment(),
        )

    return cache.get_or_build("bench-cublas", file_sha256(LOCK), build) / FOLDER


def full_llama_server(cublas: Path) -> Path:
    """Return the server; it is built for the very device of this machine, in some 10 minutes on 16 cores."""
    cache = default_build_cache()
    toolkit = cuda_toolkit(cache, build_environment(cache, _note), _note)
    return cuda_llama_server(
        {
            "CMAKE_CUDA_COMPILER": str(toolkit.nvcc),
            "CMAKE_CUDA_ARCHITECTURES": "native",
            "CMAKE_CUDA_FLAGS": f"-I{cublas / 'include'}",
            "CMAKE_BUILD_RPATH": str(cublas / "lib"),
            "CUDAToolkit_ROOT": str(toolkit.root),
            "CUDA_CUDART": str(toolkit.static_runtime),
            "CUDA_cudart_LIBRARY": str(toolkit.static_runtime),
            "CUDA_cublas_LIBRARY": str(cublas / "lib" / LIBRARY),
            "GGML_CUDA": "ON",
            "GGML_CUDA_NO_VMM": "ON",
            "GGML_CUDA_NCCL": "OFF",
        }
    )


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")
