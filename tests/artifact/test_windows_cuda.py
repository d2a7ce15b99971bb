"""``chat.exe`` with a CUDA backend under Wine, without NVIDIA's driver and with one that misbehaves.

The backend crashes on purpose: the real one takes an hour to build and is not built by the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from packer.programs import WINDOWS
from packer.runtimes.backends import write_backend_file
from packer.toolchain import process
from packer.toolchain.cuda.host_code import WINDOWS_TRIPLE
from packer.toolchain.cuda.windows import LIBRARY_NAME
from tests.support import program
from tests.support.wine import Wine, WineLauncher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from packer.toolchain.llama_cpp import BuildTools

CRASH = "__declspec(dllexport) void *ggml_backend_init(void) { *(volatile int *)0 = 1; return 0; }\n"
ASK = ("-p", "Hello", "--max-tokens", "3", "--temperature", "0")


@pytest.fixture(scope="module")
def with_cuda(
    windows_runtime: None, build_tools: BuildTools, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny model, packed for Windows with a CUDA backend that crashes when it is loaded."""
    folder = tmp_path_factory.mktemp("cuda")
    source, library = folder / "crash.c", folder / LIBRARY_NAME
    source.write_text(CRASH)
    process.run([build_tools.environment.zig, "cc", "-target", WINDOWS_TRIPLE, "-shared", source, "-o", library])
    places = {"PACKER_RUNTIMES_DIR": str(folder / "added"), "PACKER_BUILD_CACHE_DIR": str(folder / "nothing")}
    assert program.packer("runtimes", "build", WINDOWS, "-o", folder / "windows.runtime").returncode == 0
    write_backend_file(folder / "cuda.backend", "cuda", WINDOWS, library, [])
    for name in ("windows.runtime", "cuda.backend"):
        added = program.packer("runtimes", "add", folder / name, **places)
        assert added.returncode == 0, added.stderr
    done = program.packer(
        "build", tiny_model, "-o", folder / "chat.exe", "--target", WINDOWS, "--gpu", "cuda", **places
    )
    assert done.returncode == 0, done.stderr
    assert "(GPU: cuda " in done.stdout
    return folder / "chat.exe"


@pytest.fixture
def gpu(with_cuda: Path, tmp_path: Path, windows: Wine) -> WineLauncher:
    """Starts it where nothing is remembered."""
    return WineLauncher(with_cuda, tmp_path / "runtimes", wine=windows)


@pytest.fixture
def driver_file(windows: Wine) -> Iterator[None]:
    """A file by the name of NVIDIA's driver where Windows has it."""
    path = windows.prefix / "drive_c" / "windows" / "system32" / "nvcuda.dll"
    path.touch()
    yield
    path.unlink()


def test_without_the_driver_the_backend_is_not_loaded(gpu: WineLauncher, exe: WineLauncher) -> None:
    done = gpu.ask(*ASK, "--gpu", "cuda")
    assert (done.returncode, done.stdout) == (0, exe.ask(*ASK).stdout)
    assert "CUDA: no driver on this machine (nvcuda.dll was not found)" in gpu.ask("--info").stdout


def test_a_driver_that_crashes_costs_one_line(gpu: WineLauncher, exe: WineLauncher, driver_file: None) -> None:
    for arguments in ((), ("--gpu", "cuda")):
        done = gpu.ask(*ASK, *arguments)
        assert (done.returncode, done.stdout) == (0, exe.ask(*ASK).stdout)
        why = "CUDA: the driver crashed (exit code 0xc0000005) when it was asked for its devices"
        assert (why in done.stderr) == bool(arguments)
    assert why in gpu.ask("--info").stdout
