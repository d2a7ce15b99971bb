"""A small CUDA source, compiled for Windows around code for GPUs of other names, run by Wine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from packer.toolchain import process
from packer.toolchain.build_cache import default_build_cache
from packer.toolchain.cuda.fat_binaries import FatBinary
from packer.toolchain.cuda.host_code import WINDOWS_TRIPLE, HostCompiler, library_flags
from packer.toolchain.cuda.windows import HOST, Unit, compile_unit
from packer.toolchain.environment import build_environment
from tests.support.wine import prepared_wine

if TYPE_CHECKING:
    from packer.toolchain.environment import BuildEnvironment

SAMPLE = Path(__file__).parent / "sample"
EACH = "_Z4eachIXadL_ZN39_INTERNAL_0a1b2c3d_9_sample_cu_4e5f60715twiceEfEEfEvPT0_l"
FILL = "_Z4fillILm256EEvPimm"


@pytest.fixture(scope="module")
def environment() -> BuildEnvironment:
    """The pinned zig."""
    return build_environment(default_build_cache(), lambda _text: None)


def test_kernels_are_registered_and_started_by_the_names_that_the_code_has(
    environment: BuildEnvironment, tmp_path: Path
) -> None:
    zig, cxxfilt = environment.zig, shutil.which("c++filt")
    assert cxxfilt
    folders = [f"-I{folder}" for folder in (HOST, SAMPLE)]
    flags = [*library_flags(zig, tmp_path), *folders, "-include", HOST / "host_side.h"]
    flags += ["-DDEVICE_ARCHITECTURES=750,800"]
    code = FatBinary(b"what only a GPU can read\0", frozenset({EACH, FILL, "_Z6unusedv"}))
    unit = Unit(name="7-sample", source=SAMPLE / "sample.cu", definitions=(), code=code)
    compiled = compile_unit(HostCompiler(zig=zig, flags=flags, scratch=tmp_path), unit, Path(cxxfilt))
    program = tmp_path / "sample.exe"
    process.run([zig, "cc", "-target", WINDOWS_TRIPLE, SAMPLE / "runtime.c", compiled, "-o", program])
    done = subprocess.run(
        ["wine", program],
        env=prepared_wine(default_build_cache()).environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "code 466243b1 1 what only a GPU can read aligned to 0",
            f"kernel {EACH} ",
            f"kernel {FILL} ",
            f"start {EACH} <<<3, 32, 0>>> 0000000000001234 72",
            f"start {FILL} <<<1, 256, 16>>> 0000000000001234 1000",
        ],
    ), done.stderr
