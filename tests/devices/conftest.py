"""Fixtures: backends that misbehave, and what asks and places them, in this process and its children."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from packer.toolchain import process
from packer.toolchain.build_cache import digest_of, file_sha256
from runtime.devices import comparison, probe
from runtime.devices.attempts import ModelPlacing
from runtime.devices.child import default_runner
from runtime.devices.choice import DeviceChooser
from runtime.devices.comparison import Comparison
from runtime.devices.memory import ResultMemory
from runtime.devices.probe import Probe
from tests.engine.conftest import library as library_fixture

if TYPE_CHECKING:
    from collections.abc import Callable

    from packer.runtimes.recipe import RuntimeParts
    from runtime.llama.library import Library

library = library_fixture
PATIENCE_S = 120
SOURCE = Path(__file__).with_name("stand_in.c")


@pytest.fixture(scope="session")
def stand_in(runtime_parts: RuntimeParts) -> Callable[[str], Path]:
    """Compiles the stand-in backend with a behaviour; kept in the build cache."""
    tools = runtime_parts.tools

    def compile_with(behaviour: str) -> Path:
        def build(work: Path) -> None:
            ggml = tools.sources.llama_cpp / "ggml"
            includes = [f"-I{ggml / 'include'}", f"-I{ggml / 'src'}"]
            options = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f"-DBEHAVIOUR={behaviour}"]
            output = work / "libggml-vulkan.so"
            process.run([tools.environment.zig, "cc", *options, *includes, SOURCE, "-o", output])

        digest = digest_of([behaviour, file_sha256(SOURCE), tools.sources.digests])
        return tools.cache.get_or_build("stand-in", digest, build) / "libggml-vulkan.so"

    return compile_with


@pytest.fixture
def memory(tmp_path: Path) -> ResultMemory:
    """What is remembered, in a directory of the test's own."""
    return ResultMemory(directory=tmp_path / "devices")


@pytest.fixture
def make_placing(
    library: Library, memory: ResultMemory, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ModelPlacing]:
    """Makes what places models, with one backend library as Vulkan; children find their modules as this process does.

    They have all the time they want: how busy the machine is that runs the tests decides nothing.
    """
    monkeypatch.setattr(probe, "LIST_LIMIT_S", PATIENCE_S)
    monkeypatch.setattr(probe, "SOFTWARE_LIST_LIMIT_S", PATIENCE_S)
    monkeypatch.setattr(comparison, "HARDWARE_LIMIT_S", PATIENCE_S)
    monkeypatch.setattr(comparison, "SOFTWARE_LIMIT_S", PATIENCE_S)

    def make(path: Path | None, *, wanted: str = "auto", layers: int = -1, has_loader: bool = True) -> ModelPlacing:
        environ = dict(os.environ)
        runner: Any = default_runner(environ)
        identity = ["test"]
        chooser = DeviceChooser(
            wanted=wanted,
            backends={"vulkan": path} if path else {},
            probe=Probe(
                runner=runner,
                memory=memory,
                identity=lambda: identity,
                environ=environ,
                has_loader=lambda _backend: has_loader,
            ),
            comparison=Comparison(runner=runner, memory=memory, identity=lambda: identity, num_threads=1, cpu="test"),
            memory=memory,
        )
        return ModelPlacing(chooser=chooser, layers=layers, cpu="Test CPU")

    return make
