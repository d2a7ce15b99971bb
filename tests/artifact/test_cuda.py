"""A packed file with a CUDA backend, on machines without NVIDIA's driver and with drivers that misbehave.

The backend is one that misbehaves on purpose: the real one takes an hour to build and is not built by the tests.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from packer.programs import LINUX
from packer.runtimes.backends import write_backend_file
from packer.toolchain import process
from tests.devices.conftest import stand_in as stand_in_fixture
from tests.support import program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.toolchain.llama_cpp import BuildTools

stand_in = stand_in_fixture
ASK = ("-p", "Hello", "--max-tokens", "3", "--temperature", "0")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A place for added runtimes that holds this checkout's, and a build cache with nothing in it."""
    folder = tmp_path_factory.mktemp("store")
    places = {"PACKER_RUNTIMES_DIR": str(folder / "added"), "PACKER_BUILD_CACHE_DIR": str(folder / "nothing")}
    assert program.packer("runtimes", "build", "-o", folder / "linux.runtime").returncode == 0
    assert program.packer("runtimes", "add", folder / "linux.runtime", **places).returncode == 0
    return places


@pytest.fixture(scope="module")
def with_cuda(
    store: dict[str, str],
    stand_in: Callable[[str], Path],
    tiny_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The tiny model with a CUDA backend that crashes when it is asked for its devices."""
    folder = tmp_path_factory.mktemp("cuda")
    library = folder / "libggml-cuda.so"
    shutil.copy(stand_in("CRASH"), library)
    write_backend_file(folder / "cuda.backend", "cuda", LINUX, library, [])
    added = program.packer("runtimes", "add", folder / "cuda.backend", **store)
    assert added.returncode == 0, added.stderr
    done = program.packer("build", tiny_model, "-o", folder / "chat", "--title", "Tiny", "--gpu", "cuda", **store)
    assert done.returncode == 0, done.stderr
    assert "(GPU: cuda " in done.stdout
    return folder / "chat"


@pytest.fixture
def gpu(with_cuda: Path, runtime_cache: Path) -> program.Launcher:
    """Starts it in a bare environment."""
    return program.Launcher(with_cuda, runtime_cache)


def test_without_the_driver_the_backend_is_not_loaded(gpu: program.Launcher, launch: program.Launcher) -> None:
    """It would crash; asked for or not, the CPU answers and one line says why."""
    done = gpu.run(*ASK)
    assert (done.returncode, done.stdout, done.stderr) == (0, launch.run(*ASK).stdout, "")
    why = "CUDA: no driver on this machine (libcuda.so.1 was not found)"
    assert why in gpu.run("--info").stdout
    device = json.loads(gpu.run("--info", "--json", "--gpu", "cuda").stdout)["device"]
    assert (device["backend"], device["why"]) == ("cpu", why)
    with gpu.serving("--gpu", "cuda") as server:
        assert server.json("/health")["device"] == device
        assert server.process.stdout is not None
        line = next(line for line in server.process.stdout if line.startswith("Device"))
    assert why in line


def test_a_driver_that_crashes_costs_one_line(gpu: program.Launcher, build_tools: BuildTools, tmp_path: Path) -> None:
    source, library = tmp_path / "driver.c", tmp_path / "libcuda.so.1"
    source.write_text("int cuInit(unsigned flags) { return (int)flags; }\n")
    process.run([build_tools.environment.zig, "cc", "-shared", "-fPIC", source, "-o", library])
    environment = gpu.environment(LD_LIBRARY_PATH=str(tmp_path))
    for arguments in ((), ("--gpu", "cuda")):
        done = gpu.run(*ASK, *arguments, env=environment)
        why = "CUDA: the driver crashed (SIGSEGV) when it was asked for its devices"
        assert (done.returncode, done.stderr) == (0, f"The CPU computes: {why}\n" if arguments else "")
    assert why in gpu.run("--info", env=environment).stdout


def test_a_backend_that_takes_an_hour_is_not_built_in_passing(
    store: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    runtimes = tmp_path / "added"
    shutil.copytree(store["PACKER_RUNTIMES_DIR"], runtimes, ignore=shutil.ignore_patterns("*.backend"))
    places = {**store, "PACKER_RUNTIMES_DIR": str(runtimes)}
    done = program.packer("build", tiny_model, "-o", tmp_path / "chat", "--gpu", "vulkan,cuda", **places)
    assert done.returncode == 6
    assert "packer runtimes build linux-x86_64 --gpu cuda" in done.stderr
    assert not (tmp_path / "chat").exists()
