"""Compiles the processor's half of a CUDA source file for Windows, around code for GPUs that is there already.

zig's clang reads CUDA by itself and can be told to make the host's half alone. It writes down LLVM's text, in which two
things are replaced before it becomes an object file: the names by which kernels are registered with the CUDA runtime,
which must be those of the code for GPUs, and a placeholder for that code. Sources: Clang's "Compiling CUDA with clang",
LLVM's Language Reference.
"""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.toolchain import process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WINDOWS_TRIPLE = "x86_64-windows-gnu"
FLAGS = (
    "-std=c++17",
    "-O2",
    "-DNDEBUG",
    "-w",
    "-S",
    "-emit-llvm",
    "--cuda-host-only",
    "--no-offload-new-driver",
    "-nocudainc",
    "-nocudalib",
    "-fclang-abi-compat=17",
    *("-Xclang", "-target-sdk-version=12.9"),
)
"""The names of templates are written as they were in clang 17, which ``c++filt`` of Debian 12 can read. Of the versions
of CUDA that zig's clang knows 12.9 is the newest; the version decides how it starts a kernel."""

PLACEHOLDER = b"the code for GPUs"
TEXT_CONSTANT = re.compile(r'^(@\S+) = private unnamed_addr constant \[\d+ x i8\] c"([^"\\]*)\\00"', re.MULTILINE)
REGISTERED = re.compile(
    r"call [^\n]*@__cudaRegisterFunction\(ptr [^,]+, ptr (?:nonnull )?@[^,]+, ptr (?:nonnull )?(@\S+),"
)
CALLED = re.compile(r"call [^\n]*@__cudaRegister(\w+)\(")
HANDLED = {"Function", "FatBinary", "FatBinaryEnd"}
CODE = re.compile(r'^(@\S+) = private constant [^\n]*, section "\.nv_fatbin"[^\n]*$', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class HostCompiler:
    """``flags`` are what every file is compiled with; ``scratch`` takes what arises on the way."""

    zig: Path
    flags: Sequence[str | Path]
    scratch: Path

    def to_text(self, source: Path, definitions: Sequence[str], output: Path) -> str:
        """Compile ``source`` to LLVM's text in ``output`` and return it. Raises BuildError."""
        placeholder = self.scratch / "placeholder"
        placeholder.write_bytes(PLACEHOLDER)
        included = ("-Xclang", "-fcuda-include-gpubinary", "-Xclang", placeholder)
        command = [self.zig, "c++", "-target", WINDOWS_TRIPLE, *FLAGS, *included, *self.flags, *definitions]
        process.run([*command, source, "-o", output])
        return output.read_text(encoding="utf-8")

    def to_object(self, text: Path, output: Path) -> None:
        """Compile LLVM's text. Raises BuildError."""
        process.run([self.zig, "cc", "-target", WINDOWS_TRIPLE, "-O2", "-w", "-c", text, "-o", output])


def library_flags(zig: Path, scratch: Path) -> list[str]:
    """Where zig has its C and C++ library, and its definitions: it adds them to C++, not to CUDA. Raises BuildError."""
    probe = scratch / "probe.cpp"
    probe.write_text("", encoding="utf-8")
    said = process.run([zig, "c++", "-###", "-target", WINDOWS_TRIPLE, "-c", probe, "-o", scratch / "probe.o"])
    words = next((shlex.split(line) for line in said.splitlines() if '"-cc1"' in line), [])
    found = [part for name, value in itertools.pairwise(words) if name in {"-isystem", "-D"} for part in (name, value)]
    if "-isystem" not in found:
        raise BuildError("zig does not say where its C++ library is; its version differs from the one expected")
    return found


def registered_kernels(text: str) -> list[str]:
    """The mangled names of all kernels that the host's half registers. Raises BuildError for anything else it does."""
    other = set(CALLED.findall(text)) - HANDLED
    if other:
        raise BuildError(f"the host's half of the CUDA backend registers more than kernels: {', '.join(sorted(other))}")
    constants = {found[1]: found[2] for found in TEXT_CONSTANT.finditer(text)}
    return [constants[name] for name in REGISTERED.findall(text)]


def with_device_code(text: str, names: Mapping[str, str], label: str, content: Path) -> str:
    """Return ``text`` with its kernels renamed and the file ``content`` as its code for GPUs. Raises BuildError.

    ``label`` becomes the name of that code among all object files.
    """
    places = set(REGISTERED.findall(text))

    def renamed(found: re.Match[str]) -> str:
        if found[1] not in places:
            return found[0]
        name = names[found[2]]
        return f'{found[1]} = private unnamed_addr constant [{len(name) + 1} x i8] c"{name}\\00"'

    code = CODE.findall(text)
    if len(code) != 1:
        raise BuildError(f"{label}: expected one place for the code for GPUs, found {len(code)}")
    text = CODE.sub(f"@{label} = external constant i8", TEXT_CONSTANT.sub(renamed, text))
    text = re.sub(rf"{re.escape(code[0])}\b", f"@{label}", text)
    assembly = ('.section .nv_fatbin,"dr"', ".balign 8", f".globl {label}", f"{label}:", f'.incbin "{content}"')
    return text + "".join(f'module asm "{_quoted(line)}"\n' for line in (*assembly, ".text"))


def _quoted(line: str) -> str:
    return line.replace("\\", "\\5C").replace('"', "\\22")
