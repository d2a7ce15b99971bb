"""The demonstration model as people get it: packed by ``packer build demo`` and started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.demo_model.chats import Chats
from tests.support import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="package")
def demo(runtime_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chats]:
    """Chats with the packed model."""
    path = tmp_path_factory.mktemp("demo") / "chat"
    done = program.packer("build", "demo", "-o", path)
    assert done.returncode == 0, done.stderr
    with program.Launcher(path, runtime_cache).serving() as server:
        yield Chats(server)
