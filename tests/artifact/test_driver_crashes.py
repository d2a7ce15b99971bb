"""A packed file whose driver crashes or hangs inside the program: it goes on, on the CPU, and says why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.artifact.conftest import FlakyDriver

PROMPT = {"prompt": "Hello", "max_tokens": 3, "temperature": 0}
ASK = ("-p", "Hello", "--max-tokens", "3", "--temperature", "0", "--gpu", "vulkan")
DEVICE = r"llvmpipe \(.*\) \(Vulkan\)"


@pytest.fixture
def flaky(flaky_driver: FlakyDriver) -> Iterator[FlakyDriver]:
    """The driver, well again after each test."""
    yield flaky_driver
    flaky_driver.trigger.unlink(missing_ok=True)


@pytest.fixture
def gpu(with_vulkan: Path, runtime_cache: Path) -> program.Launcher:
    """Starts the tiny model, packed with Vulkan, in a bare environment."""
    return program.Launcher(with_vulkan, runtime_cache)


@pytest.mark.parametrize(("letter", "cause"), [("w", "SIGSEGV"), ("a", "SIGABRT"), ("l", "SIGABRT")])
def test_a_crash_in_use_ends_on_the_cpu_at_the_same_address(
    gpu: program.Launcher, flaky: FlakyDriver, letter: str, cause: str
) -> None:
    """It writes where no memory is, aborts, or loses the device, which llama.cpp does not survive."""
    with gpu.serving("--gpu", "vulkan", env=gpu.environment(**flaky.environment())) as server:
        before = server.json("/v1/completions", PROMPT)
        assert server.json("/health")["device"]["backend"] == "vulkan"
        flaky.trigger.write_text(letter)
        with pytest.raises(OSError):
            server.request("/v1/completions", PROMPT)
        server.wait_until_ready(starts_again=True)
        after = server.json("/v1/completions", PROMPT)
        device = server.json("/health")["device"]
        assert server.json("/api/info")["device"] == device
        assert server.stop() == 0
        assert server.process.stderr is not None
        errors = server.process.stderr.read().splitlines()
    assert after["choices"] == before["choices"]
    assert device["backend"] == "cpu"
    assert re.fullmatch(rf"{DEVICE}: the driver crashed \({cause}\) while it was in use", device["why"])
    assert errors[-1] == f"{device['why']}; starting again, on the CPU"
    assert len(errors) == (2 if letter == "l" else 1), errors


@pytest.mark.parametrize(
    ("letter", "words"),
    [("w", r"the driver crashed \(SIGSEGV\)"), ("h", "the driver did not answer for 6 s")],
    ids=["crash", "hang"],
)
def test_trouble_while_the_model_is_loaded_ends_on_the_cpu(
    gpu: program.Launcher, flaky: FlakyDriver, letter: str, words: str
) -> None:
    flaky.trigger.write_text(letter)
    environment = gpu.environment(**flaky.environment())
    done = gpu.run(*ASK, env=environment)
    assert (done.returncode, done.stdout) == (0, gpu.run(*ASK[:-1], "off").stdout)
    expected = rf"{DEVICE}: {words} while the model was loaded; starting again, on the CPU\n"
    assert re.fullmatch(expected, done.stderr), done.stderr


def test_a_question_that_came_on_standard_input_is_not_asked_twice(gpu: program.Launcher, flaky: FlakyDriver) -> None:
    flaky.trigger.write_text("a")
    environment = gpu.environment(**flaky.environment())
    done = gpu.run("-p", "-", *ASK[2:], env=environment, input="Hello")
    assert (done.returncode, done.stdout) == (7, "")
    expected = rf"error: {DEVICE}: the driver crashed \(SIGABRT\) while .* loaded; --gpu off computes on the CPU\n"
    assert re.fullmatch(expected, done.stderr), done.stderr


def test_a_crash_when_all_is_done_spoils_nothing(gpu: program.Launcher, flaky: FlakyDriver) -> None:
    with gpu.serving("--gpu", "vulkan", env=gpu.environment(**flaky.environment())) as server:
        server.json("/v1/completions", PROMPT)
        flaky.trigger.write_text("f")
        assert server.stop() == 0
        assert server.process.stderr is not None
        assert server.process.stderr.read() == ""
