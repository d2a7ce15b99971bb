"""Builds ggml's CUDA backend for Windows: the code for GPUs of the one for Linux, with the processor's half made anew.

NVIDIA's CUDA runtime is linked in from its package for Windows. It was compiled by Microsoft's compiler and needs four
names of that compiler's library, which are ours (``windows_host/microsoft_runtime.s``).
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.toolchain import process
from packer.toolchain.build_cache import digest_of, digest_of_files
from packer.toolchain.cuda.architectures import architecture_list
from packer.toolchain.cuda.fat_binaries import fat_binaries
from packer.toolchain.cuda.host_code import (
    WINDOWS_TRIPLE,
    HostCompiler,
    library_flags,
    registered_kernels,
    with_device_code,
)
from packer.toolchain.cuda.kernel_names import match_kernels
from packer.toolchain.cuda.linux import STAND_IN, configure, linux_backend, linux_digest
from packer.toolchain.cuda.toolkit import CUDA_LOCK, cuda_toolkit
from packer.toolchain.llama_cpp import WINDOWS, llama_cpp_libraries, zig_version
from packer.toolchain.windows_link import write_import_library

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from packer.toolchain.cuda.fat_binaries import FatBinary
    from packer.toolchain.llama_cpp import BuildTools

RECIPE = 1
LIBRARY_NAME = "ggml-cuda.dll"
HOST = Path(__file__).parent / "windows_host"
RUNTIME_PACKAGE = "nvidia-cuda-runtime"
RUNTIME = "nvidia/cu13/lib/x64/cudart_static.lib"
MICROSOFT_LIBRARIES = ("LIBCMT", "OLDNAMES", "uuid")
"""Asked for by NVIDIA's runtime; what it needs of them is in zig's library, or ours."""

OTHER_SYSTEM = ("-D_GNU_SOURCE", "-D_XOPEN_SOURCE")
COPIES_OF_CUBLAS = '-DSYSTEM_COPIES="cublas64_13.dll","cublas64_12.dll"'
ENTRY_POINT = "ggml_backend_init"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One CUDA source file, with what it is compiled with and its code for GPUs."""

    name: str
    source: Path
    definitions: tuple[str, ...]
    code: FatBinary


def windows_backend(tools: BuildTools, note: Callable[[str], None], architectures: Sequence[str]) -> Path:
    """Return the CUDA backend for Windows, building it when missing (5 minutes beside the one for Linux).

    Raises BuildError.
    """
    files = sorted(path for path in HOST.iterdir() if path.is_file())
    own = [RECIPE, digest_of_files(HOST, files), *WINDOWS.identity, zig_version(tools.environment)]

    def build(work: Path) -> None:
        linux = linux_backend(tools, note, architectures)
        scratch = work / "scratch"
        scratch.mkdir()
        _build(tools, note, architectures, fat_binaries(linux), scratch)
        shutil.copy(scratch / LIBRARY_NAME, work / LIBRARY_NAME)
        shutil.rmtree(scratch)

    digest = digest_of([*own, linux_digest(tools, architectures)])
    return tools.cache.get_or_build("ggml-cuda", digest, build) / LIBRARY_NAME


def _build(
    tools: BuildTools,
    note: Callable[[str], None],
    architectures: Sequence[str],
    codes: Sequence[FatBinary],
    scratch: Path,
) -> None:
    toolkit = cuda_toolkit(tools.cache, tools.environment, note)
    note("configuring the CUDA backend for Windows")
    configured = scratch / "configured"
    configure(tools, toolkit, architectures, configured, CMAKE_EXPORT_COMPILE_COMMANDS="ON")
    units = compile_units(json.loads((configured / "compile_commands.json").read_text(encoding="utf-8")), codes)
    sources = tools.sources.llama_cpp / "ggml"
    folders = [toolkit.root / "include", toolkit.root / "include" / "cccl"]
    mapped = {tools.sources.llama_cpp: "llama.cpp", scratch: "build", toolkit.root: "cuda", STAND_IN: "cublas"}
    compiler = HostCompiler(
        zig=tools.environment.zig,
        flags=(
            *library_flags(tools.environment.zig, scratch),
            *(part for folder in folders for part in ("-isystem", folder)),
            *(f"-I{folder}" for folder in (HOST, STAND_IN, sources / "include", sources / "src")),
            *(f"-ffile-prefix-map={path}={name}" for path, name in mapped.items()),
            *("-include", HOST / "host_side.h", f"-DDEVICE_ARCHITECTURES={architecture_list(architectures)}"),
        ),
        scratch=scratch,
    )
    cxxfilt = shutil.which("c++filt")
    if cxxfilt is None:
        raise BuildError("the CUDA backend needs c++filt, which was not found; install it (apt install binutils)")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = [pool.submit(compile_unit, compiler, unit, Path(cxxfilt)) for unit in units]
        for number, one in enumerate(done, 1):
            note(f"compiling the CUDA backend for Windows {number}/{len(units)}")
            one.result()
    note("linking the CUDA backend for Windows")
    _link(tools, [one.result() for one in done], scratch, note)


def compile_units(commands: Sequence[dict[str, str]], codes: Sequence[FatBinary]) -> list[Unit]:
    """Pair the source files, in the order in which CMake names them, with their code, in the order of linking.

    The stand-in for cuBLAS comes last. That each pair belongs together shows when its kernels are matched by name.
    Raises BuildError when there are not as many of each.
    """
    compiled = [command for command in commands if command["file"].endswith(".cu")]
    if len(codes) != len(compiled) + 1:
        raise BuildError(f"the CUDA backend has {len(compiled) + 1} source files and code for GPUs of {len(codes)}")
    parts = [
        (
            Path(command["file"]),
            tuple(
                word
                for word in shlex.split(command["command"])
                if word.startswith("-D") and not word.startswith(OTHER_SYSTEM)
            ),
        )
        for command in compiled
    ]
    parts.append((STAND_IN / "cublas_stand_in.cu", (COPIES_OF_CUBLAS,)))
    return [
        Unit(name=f"{number}-{source.stem}", source=source, definitions=definitions, code=code)
        for number, ((source, definitions), code) in enumerate(zip(parts, codes, strict=True))
    ]


def compile_unit(compiler: HostCompiler, unit: Unit, cxxfilt: Path) -> Path:
    """Compile one file with its code for GPUs and return the object file. Raises BuildError."""
    text = compiler.scratch / f"{unit.name}.ll"
    written = compiler.to_text(unit.source, unit.definitions, text)
    if kernels := registered_kernels(written):
        content = compiler.scratch / f"{unit.name}.fatbin"
        content.write_bytes(unit.code.content)
        names = match_kernels(kernels, unit.code.kernels, cxxfilt)
        label = "device_code_" + unit.name.partition("-")[0]
        text.write_text(with_device_code(written, names, label, content), encoding="utf-8")
    output = text.with_suffix(".o")
    compiler.to_object(text, output)
    return output


def _link(tools: BuildTools, objects: Sequence[Path], scratch: Path, note: Callable[[str], None]) -> None:
    zig, libraries = tools.environment.zig, llama_cpp_libraries(tools, "windows-x86_64", note)
    base, exports = scratch / "libggml-base.a", scratch / "exports.def"
    if write_import_library(str(zig), libraries / "ggml-base.dll", base) != 0:
        raise BuildError("ggml-base.dll: its import library can't be written")
    exports.write_text(f"LIBRARY {LIBRARY_NAME}\nEXPORTS\n  {ENTRY_POINT}\n", encoding="ascii")
    own = scratch / "microsoft_runtime.o"
    process.run([zig, "cc", "-target", WINDOWS_TRIPLE, "-c", HOST / "microsoft_runtime.s", "-o", own])
    for name in MICROSOFT_LIBRARIES:
        process.run([zig, "ar", "rcsD", scratch / f"lib{name}.a"])
    parts: list[str | Path] = [*objects, own, cuda_runtime(tools, scratch), base, exports, f"-L{scratch}"]
    process.run([zig, "c++", "-target", WINDOWS_TRIPLE, "-shared", "-s", "-o", scratch / LIBRARY_NAME, *parts])


def cuda_runtime(tools: BuildTools, scratch: Path) -> Path:
    """Fetch NVIDIA's CUDA runtime for Windows, a library to link in, by the hash in the lock. Raises BuildError."""
    requirement = scratch / "runtime.txt"
    requirement.write_text(requirement_of(CUDA_LOCK.read_text(encoding="ascii"), RUNTIME_PACKAGE), encoding="ascii")
    choices = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--platform", "win_amd64", "--quiet"]
    command: list[str | Path] = [
        tools.environment.python,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "download",
        *choices,
    ]
    process.run([*command, "-r", requirement, "-d", scratch / "wheel"], env=process.clean_environment())
    (wheel,) = (scratch / "wheel").iterdir()
    with zipfile.ZipFile(wheel) as packed:
        if RUNTIME not in packed.namelist():
            raise BuildError(f"{wheel.name}: has no {RUNTIME}; it differs from the package expected")
        return Path(packed.extract(RUNTIME, scratch))


def requirement_of(lock: str, package: str) -> str:
    """The lines of a lock that pin one package."""
    lines = lock.splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith(f"{package}==")), None)
    if first is None:
        raise BuildError(f"{CUDA_LOCK.name}: {package} is not in it")
    last = first
    while lines[last].endswith("\\"):
        last += 1
    return "\n".join(lines[first : last + 1]) + "\n"
