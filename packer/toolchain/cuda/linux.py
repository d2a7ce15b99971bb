"""Builds ggml's CUDA backend for Linux, a library of its own, from the source of llama.cpp, which is not built again.

It carries no cuBLAS: a small stand-in of ours (``cublas``, beside this file) is linked in, which forwards to a system's
copy where there is one. The CUDA runtime is linked in as well and opens the driver when it is first asked for a device,
so the library loads on any machine and finds no devices where there is no driver.

Code for this machine's processor is compiled by the system's g++ (NVIDIA's compiler accepts neither zig's clang nor its
C++ library), with that compiler's own libraries linked in. An interrupted build goes on where it stopped: what is
compiled stays in the cache until the library is complete.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from packer.errors import BuildError
from packer.toolchain import process
from packer.toolchain.build_cache import digest_of, digest_of_files
from packer.toolchain.cuda.architectures import code_flags
from packer.toolchain.cuda.toolkit import cuda_toolkit, toolkit_digest
from packer.toolchain.llama_cpp import LINUX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from packer.toolchain.cuda.toolkit import CudaToolkit
    from packer.toolchain.llama_cpp import BuildTools

RECIPE = 1
LIBRARY_NAME = "libggml-cuda.so"
STAND_IN = Path(__file__).parent / "cublas"
STAND_IN_LIBRARY = "libcublas.a"
LINKER_FLAGS = "-Wl,-s -Wl,--exclude-libs,ALL -static-libstdc++ -static-libgcc"
OPTIONS = {
    "CMAKE_SHARED_LINKER_FLAGS": LINKER_FLAGS,
    "CMAKE_CUDA_RUNTIME_LIBRARY": "Static",
    "CMAKE_INSTALL_RPATH": "$ORIGIN/..",
    "GGML_CPU": "OFF",
    "GGML_CPU_ALL_VARIANTS": "OFF",
    "GGML_CUDA": "ON",
    "GGML_CUDA_NO_VMM": "ON",
    "GGML_CUDA_NCCL": "OFF",
}
OLDEST_GCC, NEWEST_GCC = 9, 15
IGNORED_VARIABLES = ("NVCC_", "CUDA", "CUDACXX", "CC", "CXX")


def linux_backend(tools: BuildTools, note: Callable[[str], None], architectures: Sequence[str]) -> Path:
    """Return the CUDA backend for Linux, building it when missing (15 minutes an architecture on two cores).

    Raises BuildError.
    """
    objects = tools.cache.path_of("cuda-objects", digest_of(_inputs(tools, architectures)))

    def build(work: Path) -> None:
        with filelock.FileLock(objects.with_suffix(".lock")):
            _build(tools, architectures, objects, note)
            shutil.copy(objects / "bin" / LIBRARY_NAME, work / LIBRARY_NAME)
            shutil.rmtree(objects)

    return tools.cache.get_or_build("ggml-cuda", linux_digest(tools, architectures), build) / LIBRARY_NAME


def linux_digest(tools: BuildTools, architectures: Sequence[str]) -> str:
    """What decides the content of the backend for Linux."""
    stand_in = digest_of_files(STAND_IN, stand_in_files())
    return digest_of([RECIPE, OPTIONS, *LINUX.identity, stand_in, *_inputs(tools, architectures)])


def _inputs(tools: BuildTools, architectures: Sequence[str]) -> list[object]:
    return [tools.sources.digests, toolkit_digest(), architectures, _compiler_version()]


def stand_in_files() -> list[Path]:
    """The sources of what stands in for cuBLAS, and for what a C library of some age lacks."""
    return sorted(path for path in STAND_IN.iterdir() if path.suffix in {".c", ".cu", ".cuh", ".h"})


def host_compiler() -> tuple[Path, Path]:
    """The system's C and C++ compiler. Raises BuildError when they are missing or unfit."""
    pair = shutil.which("gcc"), shutil.which("g++")
    if pair[0] is None or pair[1] is None:
        raise BuildError(
            "the CUDA backend needs the system's g++, which was not found; install it (apt install g++) and try again"
        )
    version = process.run([pair[1], "-dumpversion"]).strip()
    major = int(version.partition(".")[0])
    if not OLDEST_GCC <= major <= NEWEST_GCC:
        raise BuildError(
            f"the CUDA backend needs g++ {OLDEST_GCC} to {NEWEST_GCC}, and {pair[1]} is version {version}; install one "
            "of those and put it first in PATH"
        )
    return Path(pair[0]), Path(pair[1])


def _compiler_version() -> str:
    """Part of the digest; empty where there is no compiler, which only matters once something is to be built."""
    program = shutil.which("g++")
    return process.run([program, "-dumpfullversion", "-dumpversion"]).strip() if program else ""


def _build(tools: BuildTools, architectures: Sequence[str], objects: Path, note: Callable[[str], None]) -> None:
    """Compile into ``objects``, where a build that was interrupted is continued."""
    compilers = host_compiler()
    toolkit = cuda_toolkit(tools.cache, tools.environment, note)
    note("configuring the CUDA backend")
    _copy_changed(stand_in_files(), objects / "cublas")
    flags = _path_flags(tools, toolkit, objects)
    environment = _environment(toolkit)
    _compile_stand_in(tools, toolkit, compilers[1], architectures, [*flags, "-fPIC"], objects, environment)
    older_systems = objects / "older_systems.o"
    process.run(
        [compilers[0], *flags, "-O2", "-fPIC", "-c", objects / "cublas" / "older_systems.c", "-o", older_systems],
        env=environment,
    )
    configure(tools, toolkit, architectures, objects, CMAKE_MODULE_LINKER_FLAGS=f"{LINKER_FLAGS} {older_systems}")
    process.run(
        [tools.environment.ninja, "-C", objects, "-j", str(os.cpu_count() or 1), "ggml-cuda"],
        env=environment,
        on_line=lambda line: _note_step(line, note),
    )


def configure(
    tools: BuildTools, toolkit: CudaToolkit, architectures: Sequence[str], objects: Path, **definitions: str
) -> None:
    """Let CMake write into ``objects`` how the backend is compiled; ``definitions`` are added. Raises BuildError."""
    flags = _path_flags(tools, toolkit, objects)
    fixed = LINUX.options | OPTIONS | _definitions(tools, toolkit, host_compiler(), architectures, flags, objects)
    process.run(
        [
            tools.environment.cmake,
            *("-G", "Ninja", "-S", tools.sources.llama_cpp, "-B", objects),
            *(f"-D{name}={value}" for name, value in (fixed | definitions).items()),
        ],
        env=_environment(toolkit),
    )


def _path_flags(tools: BuildTools, toolkit: CudaToolkit, objects: Path) -> list[str]:
    """Keep this machine's folders out of what is compiled."""
    mapped = {tools.sources.llama_cpp: "llama.cpp", objects: "build", toolkit.root: "cuda"}
    return [f"-ffile-prefix-map={path}={name}" for path, name in mapped.items()]


def _copy_changed(files: Sequence[Path], directory: Path) -> None:
    """Copy what is not there already, so that nothing is compiled again for an equal file."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in files:
        copy = directory / path.name
        if not copy.is_file() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)


def _environment(toolkit: CudaToolkit) -> dict[str, str]:
    """The environment of the build, without what would lead to a toolkit of the system."""
    kept = {
        name: value for name, value in process.clean_environment().items() if not name.startswith(IGNORED_VARIABLES)
    }
    return kept | {"PATH": f"{toolkit.root / 'bin'}:{kept.get('PATH', '')}", "CUDA_PATH": str(toolkit.root)}


def _definitions(
    tools: BuildTools,
    toolkit: CudaToolkit,
    compilers: tuple[Path, Path],
    architectures: Sequence[str],
    flags: Sequence[str],
    objects: Path,
) -> dict[str, str]:
    """What CMake must be told beside the fixed options: where everything is."""
    runtime = str(toolkit.static_runtime)
    return {
        "CMAKE_MAKE_PROGRAM": str(tools.environment.ninja),
        "CMAKE_C_COMPILER": str(compilers[0]),
        "CMAKE_CXX_COMPILER": str(compilers[1]),
        "CMAKE_C_FLAGS": " ".join(flags),
        "CMAKE_CXX_FLAGS": " ".join(flags),
        "CMAKE_CUDA_COMPILER": str(toolkit.nvcc),
        "CMAKE_CUDA_HOST_COMPILER": str(compilers[1]),
        "CMAKE_CUDA_ARCHITECTURES": ";".join(architectures),
        "CMAKE_CUDA_FLAGS": " ".join([f"-I{objects / 'cublas'}", *(f"-Xcompiler={flag}" for flag in flags)]),
        "CUDAToolkit_ROOT": str(toolkit.root),
        "CUDA_CUDART": runtime,
        "CUDA_cudart_LIBRARY": runtime,
        "CUDA_cublas_LIBRARY": str(objects / STAND_IN_LIBRARY),
    }


def _compile_stand_in(
    tools: BuildTools,
    toolkit: CudaToolkit,
    compiler: Path,
    architectures: Sequence[str],
    flags: Sequence[str],
    objects: Path,
    environment: dict[str, str],
) -> None:
    """Compile what stands in for cuBLAS into a library that is linked into the backend."""
    compiled, library = objects / "cublas_stand_in.o", objects / STAND_IN_LIBRARY
    process.run(
        [
            toolkit.nvcc,
            *("-ccbin", compiler, "-std=c++17", "-O3", "-c", objects / "cublas" / "cublas_stand_in.cu", "-o", compiled),
            *code_flags(architectures),
            *(f"-Xcompiler={flag}" for flag in flags),
        ],
        env=environment,
    )
    library.unlink(missing_ok=True)
    process.run([tools.environment.zig, "ar", "rcsD", library, compiled])


def _note_step(line: str, note: Callable[[str], None]) -> None:
    if step := re.match(r"\[(\d+)/(\d+)\]", line):
        note(f"compiling the CUDA backend {step[1]}/{step[2]}")
