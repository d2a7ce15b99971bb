"""The runtime is built before the first test, so that no command has to say that it is building one; servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def built_runtime() -> None:
    """Build the runtime file, as ``packer runtimes build`` does."""
    done = program.packer("runtimes", "build")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def demo_server(runtime_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[program.Server]:
    """The packed demonstration model, serving; what other people's clients talk to."""
    path = tmp_path_factory.mktemp("demo") / "chat.exe"
    done = program.packer("build", "demo", "-o", path)
    assert done.returncode == 0, done.stderr
    with program.Launcher(path, runtime_cache).serving() as server:
        yield server
