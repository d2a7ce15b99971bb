"""Fixtures that every kind of test shares: built runtimes, made models, packed files."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import hypothesis
import pytest

from packer.programs import LINUX
from packer.runtimes.recipe import RuntimeParts, build_parts
from packer.toolchain.build_cache import default_build_cache
from packer.toolchain.chat_library import chat_library as build_chat_library
from packer.toolchain.environment import build_environment, fetch_sources
from packer.toolchain.llama_cpp import BuildTools
from runtime.chat_library import ChatLibrary
from tests.support import models, program
from tests.support.browser import launch_browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

if TYPE_CHECKING:
    from pathlib import Path

# A busy machine may take its time over one example: tests hold results, not durations.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--screenshots``: keep the pictures of the page that README and docs show."""
    parser.addoption("--screenshots", action="store_true", help="write docs/screenshots/ from the tests of the page")


def pytest_configure() -> None:
    """Take signals that whoever started us ignores (a shell in the background, nohup); children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def runtime_parts() -> RuntimeParts:
    """The parts of the runtime of this checkout; built when they are not in the build cache."""
    return build_parts(default_build_cache(), _note)


def _note(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201


@pytest.fixture(scope="session")
def build_tools() -> BuildTools:
    """Compiler and sources, without anything that is built from them."""
    cache = default_build_cache()
    environment = build_environment(cache, _note)
    return BuildTools(cache=cache, environment=environment, sources=fetch_sources(cache, environment, _note))


@pytest.fixture(scope="session")
def chat_library(build_tools: BuildTools) -> ChatLibrary:
    """llama.cpp's chat templates, as this checkout builds them."""
    return ChatLibrary(build_chat_library(build_tools, LINUX, _note))


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """A random-weight model of a few megabytes that loads, tokenizes and has a chat template."""
    return models.tiny_model()


@pytest.fixture(scope="session")
def packed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model packed by the command line, as a user does it."""
    output = tmp_path_factory.mktemp("packed") / "chat"
    done = program.packer("build", tiny_model, "-o", output, "--title", "Tiny")
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="session")
def runtime_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One unpacked-runtime directory for all tests that do not test unpacking itself."""
    return tmp_path_factory.mktemp("runtimes")


@pytest.fixture
def launch(packed: Path, runtime_cache: Path) -> program.Launcher:
    """Starts the packed tiny model in a bare environment."""
    return program.Launcher(packed, runtime_cache)


@pytest.fixture(scope="session")
def as_root() -> None:
    """Mount and chroot tests need root; CI runs as root, so there they always run."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("this test needs root and CI must run it")
        pytest.skip("needs root to mount and to change the root directory")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The one browser of all page tests."""
    yield from launch_browser()
