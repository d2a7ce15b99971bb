"""The runtimes are built before the first test, so that no command has to say that it builds one; servers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from packer.programs import LINUX, WINDOWS
from packer.toolchain import process
from packer.toolchain.build_cache import default_build_cache
from packer.toolchain.environment import build_environment
from tests.support import program, wine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def built_runtime() -> None:
    """Build the runtime file, as ``packer runtimes build`` does."""
    done = program.packer("runtimes", "build")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def demo_server(runtime_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[program.Server]:
    """The packed demonstration model, serving; what other people's clients talk to."""
    path = tmp_path_factory.mktemp("demo") / "chat"
    done = program.packer("build", "demo", "-o", path)
    assert done.returncode == 0, done.stderr
    with program.Launcher(path, runtime_cache).serving() as server:
        yield server


@pytest.fixture(scope="session")
def windows_runtime(built_runtime: None) -> None:
    """Build the runtime for Windows as well."""
    done = program.packer("runtimes", "build", WINDOWS)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def broken_driver(tmp_path: Path) -> Callable[[str], Path]:
    """Compiles a Vulkan driver that does what it is given, in C, as soon as it is loaded; returns its manifest."""

    def compile_with(statement: str) -> Path:
        zig = build_environment(default_build_cache(), lambda _text: None).zig
        source, library, manifest = (tmp_path / name for name in ("driver.c", "libdriver.so", "driver.json"))
        headers = "#include <stdlib.h>\n#include <unistd.h>\n"
        source.write_text(f"{headers}__attribute__((constructor)) static void start(void) {{ {statement} }}\n")
        process.run([zig, "cc", "-shared", "-fPIC", source, "-o", library])
        icd = {"library_path": str(library), "api_version": "1.3.0"}
        manifest.write_text(json.dumps({"file_format_version": "1.0.0", "ICD": icd}))
        return manifest

    return compile_with


@pytest.fixture(scope="session")
def windows() -> Iterator[wine.Wine]:
    """The one Wine of all tests; a program stays in it, so that its services start once and not for every test."""
    prepared = wine.prepared_wine(default_build_cache())
    with prepared.kept_running():
        yield prepared


@pytest.fixture(scope="session")
def windows_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory of unpacked Windows runtimes for all tests that do not test unpacking itself."""
    return tmp_path_factory.mktemp("windows-runtimes")


@pytest.fixture(scope="session")
def packed_exe(windows_runtime: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model packed for Windows alone."""
    output = tmp_path_factory.mktemp("windows") / "chat.exe"
    done = program.packer("build", tiny_model, "-o", output, "--title", "Tiny", "--target", WINDOWS)
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="session")
def portable(windows_runtime: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model packed for both systems, in a directory with a space in its name."""
    output = tmp_path_factory.mktemp("portable") / "for both" / "chat.exe"
    output.parent.mkdir()
    done = program.packer("build", tiny_model, "-o", output, "--title", "Tiny", "--target", f"{LINUX},{WINDOWS}")
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture
def exe(packed_exe: Path, windows_cache: Path, windows: wine.Wine) -> wine.WineLauncher:
    """Starts the file for Windows under Wine."""
    return wine.WineLauncher(packed_exe, windows_cache, wine=windows)
