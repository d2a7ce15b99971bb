"""``chat.exe`` with the Vulkan backend under Wine, which hands Vulkan on to Mesa's renderer on the CPU."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from packer.programs import WINDOWS
from packer.toolchain import process
from tests.support import program
from tests.support.wine import Wine, WineLauncher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from packer.toolchain.llama_cpp import BuildTools

LARGEST_BACKEND_BYTES = 15_000_000
ASK = ("-p", "Hello", "--raw", "--token-ids", "--max-tokens", "8", "--temperature", "0")


@pytest.fixture(scope="module")
def with_vulkan(windows_runtime: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model packed for Windows with the Vulkan backend."""
    output = tmp_path_factory.mktemp("gpu") / "chat.exe"
    done = program.packer("build", tiny_model, "-o", output, "--target", WINDOWS, "--gpu", "vulkan")
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="module")
def displayed(windows: Wine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    """A Wine with a display, and so with Vulkan."""
    with windows.with_display(tmp_path_factory.mktemp("displayed") / "prefix") as wine:
        yield wine


@pytest.fixture
def gpu(with_vulkan: Path, windows_cache: Path, displayed: Wine) -> WineLauncher:
    """Starts it where there is a Vulkan device."""
    return WineLauncher(with_vulkan, windows_cache, wine=displayed)


def device_line(launcher: WineLauncher, **variables: str) -> str:
    done = launcher.run("--info", prefix=["wine"], input="", env=launcher.environment(**variables))
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Device ")]
    return line


def test_the_backend_is_small(with_vulkan: Path) -> None:
    entries = json.loads(program.packer("inspect", with_vulkan, "--json").stdout)["entries"]
    (backend,) = [entry for entry in entries if entry["name"].endswith("/lib/gpu/ggml-vulkan.dll")]
    assert backend["stored_bytes"] < LARGEST_BACKEND_BYTES


def test_by_itself_it_takes_the_cpu_and_says_why(gpu: WineLauncher) -> None:
    line = device_line(gpu)
    assert re.search(r"CPU: .*\(Vulkan: device llvmpipe .* is a software renderer, ", line), line


def test_asked_to_it_puts_every_layer_there_with_the_same_tokens(gpu: WineLauncher) -> None:
    with gpu.serving("--gpu", "vulkan", prefix=["wine"]) as server:
        device = server.json("/health")["device"]
    assert (device["backend"], device["layers"], device["num_layers"]) == ("vulkan", 5, 5)
    assert device["name"].startswith("GPU: llvmpipe")
    on_both = [gpu.ask(*ASK, "--gpu", name) for name in ("vulkan", "off")]
    assert [done.returncode for done in on_both] == [0, 0], on_both
    assert json.loads(on_both[0].stdout) == json.loads(on_both[1].stdout)


@pytest.fixture
def anew(with_vulkan: Path, tmp_path: Path, displayed: Wine) -> WineLauncher:
    """Starts it where nothing is remembered: variables that Wine keeps to itself change what the driver says."""
    return WineLauncher(with_vulkan, tmp_path / "runtimes", wine=displayed)


def test_a_loader_without_a_driver_costs_one_line(anew: WineLauncher, windows: Wine) -> None:
    line = device_line(replace(anew, wine=windows))
    assert "(Vulkan: the loader is there, but no driver offers a device)" in line


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("abort();", "the driver crashed ("),
        ("for (;;) pause();", "the driver did not answer within 3.5 s"),
    ],
    ids=["crash", "hang"],
)
def test_a_broken_driver_costs_one_line(
    anew: WineLauncher, broken_driver: Callable[[str], Path], statement: str, words: str
) -> None:
    manifest = str(broken_driver(statement))
    line = device_line(anew, VK_DRIVER_FILES=manifest, VK_ICD_FILENAMES=manifest)
    assert "CPU: " in line
    assert f"(Vulkan: {words}" in line


@pytest.fixture
def with_backend_that(
    with_vulkan: Path, tmp_path: Path, windows: Wine, build_tools: BuildTools
) -> Callable[[str], WineLauncher]:
    """Puts a backend of that behaviour (``tests/devices/stand_in.c``) in the place of the one that was unpacked."""
    launcher = WineLauncher(with_vulkan, tmp_path / "runtimes", wine=windows)

    def replaced(behaviour: str) -> WineLauncher:
        assert launcher.ask("--version").returncode == 0
        (backend,) = launcher.cache.rglob("ggml-vulkan.dll")
        (base,) = launcher.cache.rglob("ggml-base.dll")
        size_bytes = backend.stat().st_size
        ggml = build_tools.sources.llama_cpp / "ggml"
        includes = [f"-I{ggml / 'include'}", f"-I{ggml / 'src'}"]
        options = ["-target", "x86_64-windows-gnu", "-shared", "-s", "-O1", f"-DBEHAVIOUR={behaviour}"]
        source, output = program.CHECKOUT / "tests" / "devices" / "stand_in.c", tmp_path / "ggml-vulkan.dll"
        process.run([build_tools.environment.zig, "cc", *options, *includes, source, base, "-o", output])
        # The launcher unpacks anew what has another size.
        backend.write_bytes(output.read_bytes().ljust(size_bytes, b"\0"))
        return launcher

    return replaced


@pytest.mark.parametrize(
    ("behaviour", "cause"), [("ABORT_LATER", "SIGABRT"), ("CRASH_LATER", "access violation writing 0x0*8")]
)
def test_a_driver_that_crashes_in_the_program_has_it_started_again(
    with_backend_that: Callable[[str], WineLauncher], behaviour: str, cause: str
) -> None:
    launcher = with_backend_that(behaviour)
    with launcher.serving("--gpu", "vulkan", prefix=["wine"], wait=False) as server:
        server.wait_until_ready(starts_again=True)
        device = server.json("/health")["device"]
        reply = server.json("/v1/completions", {"prompt": "Hello", "max_tokens": 3, "temperature": 0})
    words = rf"Stand-in GPU \(Vulkan\): the driver crashed \({cause}\) while the model was loaded"
    assert re.fullmatch(words, device["why"]), device
    assert device["backend"] == "cpu"
    assert reply["usage"]["completion_tokens"] == 3
    on_both = [launcher.ask(*ASK, "--gpu", name) for name in ("vulkan", "off")]
    assert [done.returncode for done in on_both] == [0, 0], on_both
    assert json.loads(on_both[0].stdout) == json.loads(on_both[1].stdout)
    assert re.search(rf"{words}; starting again, on the CPU", on_both[0].stderr), on_both
