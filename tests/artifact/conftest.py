"""The runtime is built before the first test, so that no command has to say that it is building one."""

from __future__ import annotations

import pytest

from tests.support import program


@pytest.fixture(scope="session", autouse=True)
def built_runtime() -> None:
    """Build the runtime file, as ``packer runtimes build`` does."""
    done = program.packer("runtimes", "build")
    assert done.returncode == 0, done.stderr
