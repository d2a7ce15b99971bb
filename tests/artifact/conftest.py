"""The runtimes are built before the first test, so that no command has to say that it builds one; servers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from packer.programs import LINUX, WINDOWS
from packer.toolchain import process
from packer.toolchain.build_cache import default_build_cache
from packer.toolchain.environment import build_environment
from tests.support import program, wine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, kw_only=True)
class FlakyDriver:
    """A Vulkan driver that misbehaves once ``trigger`` holds a letter; in children of the program it never does."""

    manifest: Path
    trigger: Path

    def environment(self) -> dict[str, str]:
        """Variables that make it the only driver."""
        return {"VK_DRIVER_FILES": str(self.manifest), "VK_ICD_FILENAMES": str(self.manifest)}


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


@pytest.fixture(scope="session")
def with_vulkan(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model packed with the Vulkan backend, which a model of its size does not get by default."""
    output = tmp_path_factory.mktemp("gpu") / "chat"
    done = program.packer("build", tiny_model, "-o", output, "--title", "Tiny", "--gpu", "vulkan")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\(GPU: vulkan \d+\.\d MB\)", done.stdout)
    return output


@pytest.fixture(scope="session")
def flaky_driver(built_runtime: None, tmp_path_factory: pytest.TempPathFactory) -> FlakyDriver:
    """Compiles ``tests/support/flaky_driver.c``."""
    directory = tmp_path_factory.mktemp("flaky")
    source, trigger = Path(__file__).parent.parent / "support" / "flaky_driver.c", directory / "trigger"
    zig = build_environment(default_build_cache(), lambda _text: None).zig
    defined = [f'-DTRIGGER="{trigger}"', '-DREAL_DRIVER="libvulkan_lvp.so"', "-D_GNU_SOURCE"]
    warnings = ["-Wall", "-Wextra", "-Werror"]
    process.run([zig, "cc", "-shared", "-fPIC", *warnings, *defined, source, "-o", directory / "libflaky.so"])
    manifest = directory / "flaky.json"
    icd = {"library_path": str(directory / "libflaky.so"), "api_version": "1.3.0"}
    manifest.write_text(json.dumps({"file_format_version": "1.0.0", "ICD": icd}))
    return FlakyDriver(manifest=manifest, trigger=trigger)


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
