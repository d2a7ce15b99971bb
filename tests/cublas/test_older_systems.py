"""The CUDA backend must load where the C library is older than the one beside the compiler that built it."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import pytest

from packer.errors import BuildError
from packer.toolchain import process
from packer.toolchain.cuda.linux import STAND_IN

if TYPE_CHECKING:
    from pathlib import Path

    from packer.toolchain.llama_cpp import BuildTools


def test_random_numbers_come_without_a_new_c_library(build_tools: BuildTools, tmp_path: Path) -> None:
    """Compiled for glibc 2.28, which has no arc4random: the function is ours, for this library alone, and works."""
    caller, library = tmp_path / "caller.c", tmp_path / "libcaller.so"
    caller.write_text("unsigned arc4random(void);\nunsigned draw(void) { return arc4random(); }\n")
    flags = ["-target", "x86_64-linux-gnu.2.28", "-shared", "-fPIC", "-Wl,-z,defs", "-Werror"]
    compile_ = [build_tools.environment.zig, "cc", *flags, caller, "-o", library]
    with pytest.raises(BuildError, match="arc4random"):
        process.run(compile_)
    process.run([*compile_, STAND_IN / "older_systems.c"])
    loaded = ctypes.CDLL(str(library))
    loaded.draw.restype = ctypes.c_uint
    assert len({loaded.draw() for _ in range(4)}) > 1
