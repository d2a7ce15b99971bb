"""What is compiled for Windows: which files, with which definitions, beside which code for GPUs."""

from __future__ import annotations

import pytest

from packer.errors import BuildError
from packer.toolchain.cuda.fat_binaries import FatBinary
from packer.toolchain.cuda.host_code import registered_kernels, with_device_code
from packer.toolchain.cuda.toolkit import CUDA_LOCK
from packer.toolchain.cuda.windows import RUNTIME_PACKAGE, compile_units, requirement_of

COMMANDS = [
    {"file": "/llama.cpp/ggml.c", "command": "gcc -c ggml.c"},
    {
        "file": "/cuda/add.cu",
        "command": 'nvcc -DGGML_CUDA -D_GNU_SOURCE -D_XOPEN_SOURCE=600 -DLIST=\\"a,b\\" -O3 -c add.cu',
    },
    {"file": "/cuda/mul.cu", "command": "nvcc -DGGML_CUDA -c mul.cu"},
]
CODES = [FatBinary(name, frozenset()) for name in (b"add", b"mul", b"stand-in")]
TEXT = """\
@0 = private unnamed_addr constant [11 x i8] c"_ZL4fillPx\\00", align 1
@1 = private unnamed_addr constant [11 x i8] c"_ZL4fillPx\\00", align 1
@2 = private constant [17 x i8] c"the code for GPUs", section ".nv_fatbin", align 8
@__cuda_fatbin_wrapper = internal constant { i32, i32, ptr, ptr } { i32 1180844977, i32 1, ptr @2, ptr null }
  %2 = call i32 @__cudaRegisterFunction(ptr %0, ptr nonnull @stub, ptr nonnull @0, ptr nonnull @0, i32 -1)
"""


def test_files_are_paired_with_their_code_and_the_stand_in_comes_last() -> None:
    units = compile_units(COMMANDS, CODES)
    assert [(unit.name, unit.code.content) for unit in units] == [
        ("0-add", b"add"),
        ("1-mul", b"mul"),
        ("2-cublas_stand_in", b"stand-in"),
    ]
    assert units[0].definitions == ("-DGGML_CUDA", '-DLIST="a,b"')


def test_code_of_another_number_of_files_is_refused() -> None:
    with pytest.raises(BuildError, match="has 3 source files and code for GPUs of 2"):
        compile_units(COMMANDS, CODES[:2])


def test_only_what_is_registered_is_renamed(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert registered_kernels(TEXT) == ["_ZL4fillPx"]
    content = tmp_path_factory.mktemp("code") / "code.fatbin"
    text = with_device_code(TEXT, {"_ZL4fillPx": "_Z4fillPl"}, "device_code_3", content)
    lines = text.splitlines()
    assert lines[0] == '@0 = private unnamed_addr constant [10 x i8] c"_Z4fillPl\\00", align 1'
    assert lines[1] == TEXT.splitlines()[1]
    assert lines[2] == "@device_code_3 = external constant i8"
    assert "ptr @device_code_3, ptr null }" in lines[3]
    assert f'module asm ".incbin \\22{content}\\22"' in lines


def test_a_host_that_registers_more_than_kernels_is_refused() -> None:
    more = TEXT + "  call void @__cudaRegisterVar(ptr %0, ptr @table, ptr @3, ptr @3, i32 0, i64 4, i32 0, i32 0)\n"
    with pytest.raises(BuildError, match="registers more than kernels: Var"):
        registered_kernels(more)


def test_without_a_place_for_the_code_the_build_ends() -> None:
    with pytest.raises(BuildError, match="expected one place for the code for GPUs, found 0"):
        with_device_code("", {}, "device_code_0", CUDA_LOCK)


def test_the_runtime_for_windows_is_pinned_by_the_same_lock() -> None:
    lines = requirement_of(CUDA_LOCK.read_text(encoding="ascii"), RUNTIME_PACKAGE).splitlines()
    assert lines[0].startswith("nvidia-cuda-runtime==13.0.")
    assert len(lines) > 1
    assert all("--hash=sha256:" in line for line in lines[1:])
    with pytest.raises(BuildError, match=r"cuda\.txt: cublas is not in it"):
        requirement_of("other==1 \\\n    --hash=sha256:00\n", "cublas")
