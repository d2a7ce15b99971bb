"""Kernels of both compilers are matched by what they are in C++, and never by a guess."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from packer.errors import BuildError
from packer.toolchain.cuda.kernel_names import match_kernels

CXXFILT = Path(shutil.which("c++filt") or "c++filt")
OWN = "N41_INTERNAL_5e3e2b95_10_convert_cu_ecf17202"


@pytest.mark.parametrize(
    ("host", "device"),
    [
        ("_Z4fillPi", "_Z4fillPi"),
        ("_ZL9scale_f32IfEvPKT_PS0_ffx", "_Z9scale_f32IfEvPKT_PS0_ffl"),
        ("_Z4fillILy256ELxn3EEvPiyy", "_Z4fillILm256ELln3EEvPimm"),
        ("_ZL4eachIXadL_ZL5twicefEEfEvPT0_x", f"_Z4eachIXadL_Z{OWN}5twiceEfEEfEvPT0_l"),
        ("_ZN12_GLOBAL__N_15solveEd", "_ZN51_GLOBAL__N__00aea2ce_18_cublas_stand_in_cu_e03b797b5solveEd"),
    ],
    ids=["equal", "one file's own", "numbers", "made with a function", "namespace without a name"],
)
def test_what_the_compilers_write_differently_is_one_kernel(host: str, device: str) -> None:
    assert match_kernels([host], [device, "_Z5otherv"], CXXFILT) == {host: device}


def test_without_kernels_there_is_nothing_to_match() -> None:
    assert match_kernels([], ["_Z5otherv"], CXXFILT) == {}


@pytest.mark.parametrize(
    ("host", "device", "words"),
    [
        ("_Z4fillPi", ["_Z4fillPf"], r"the code for GPUs has no kernel fill\(int\*\)"),
        ("_Z4filll", ["_Z4filll"], r"a parameter of another size on Windows: fill\(long\)"),
        ("_Z4fillILm3EEvv", ["_Z4fillILm3EEvv"], "a parameter of another size on Windows"),
        ("_Z4fillx", ["_Z4filll", "_Z4fillx"], r"two kernels of the code for GPUs can't be told apart: fill\("),
    ],
)
def test_a_kernel_that_has_no_equal_ends_the_build(host: str, device: list[str], words: str) -> None:
    with pytest.raises(BuildError, match=words):
        match_kernels([host], device, CXXFILT)
