"""The build environment: a virtual environment with pinned tools, and the pinned sources, both from PyPI by hash."""

from __future__ import annotations

import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.toolchain import process
from packer.toolchain.build_cache import digest_of, file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable

    from packer.toolchain.build_cache import BuildCache

LOCKS = Path(__file__).parent.parent / "locks"
ENVIRONMENT_LOCK = LOCKS / "build-environment.txt"
SOURCES_LOCK = LOCKS / "sources.txt"


@dataclass(frozen=True, kw_only=True)
class BuildEnvironment:
    """The virtual environment at ``root`` that holds zig, CMake, Ninja, PyInstaller and what gets frozen."""

    root: Path

    @property
    def python(self) -> Path:
        """Its Python interpreter."""
        return self.root / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where its packages are installed."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.root / "lib" / version / "site-packages"

    @property
    def cmake(self) -> Path:
        """The CMake program itself; the wrapper script would name the directory it was installed in."""
        return self.site_packages / "cmake" / "data" / "bin" / "cmake"

    @property
    def ninja(self) -> Path:
        """The Ninja program itself."""
        return self.root / "bin" / "ninja"

    @property
    def zig(self) -> Path:
        """The zig compiler."""
        return self.site_packages / "ziglang" / "zig"


def python_identity() -> dict[str, str]:
    """What identifies the Python that gets frozen: its version, ABI and base installation."""
    return {
        "version": sys.version,
        "soabi": str(sysconfig.get_config_var("SOABI")),
        "prefix": sys.base_prefix,
    }


def build_environment(cache: BuildCache, note: Callable[[str], None]) -> BuildEnvironment:
    """Return the build environment, making it when it is missing."""
    digest = digest_of([file_sha256(ENVIRONMENT_LOCK), python_identity()])

    def build(work: Path) -> None:
        note("installing the pinned build tools (zig, CMake, PyInstaller)")
        base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        interpreter = base if base.exists() else Path(sys.executable)
        process.run([interpreter, "-m", "venv", work], env=process.clean_environment())
        pip = ["-m", "pip", "--disable-pip-version-check"]
        process.run(
            [
                work / "bin" / "python",
                *pip,
                "install",
                "--no-deps",
                "--only-binary=:all:",
                "--require-hashes",
                "-r",
                ENVIRONMENT_LOCK,
            ],
            env=process.clean_environment(),
        )

    return BuildEnvironment(root=cache.get_or_build("environment", digest, build))


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Unpacked source distributions; ``digests`` maps each archive's name to its SHA-256."""

    llama_cpp_python: Path
    zstandard: Path
    digests: dict[str, str]

    @property
    def llama_cpp(self) -> Path:
        """The llama.cpp tree that the binding vendors."""
        return self.llama_cpp_python / "vendor" / "llama.cpp"

    @property
    def zstd(self) -> Path:
        """The zstd library's amalgamated source."""
        return self.zstandard / "zstd"


def fetch_sources(cache: BuildCache, environment: BuildEnvironment, note: Callable[[str], None]) -> Sources:
    """Download the pinned source distributions by hash and unpack them, once."""
    digest = digest_of(file_sha256(SOURCES_LOCK))

    def build(work: Path) -> None:
        note("downloading the pinned sources (llama-cpp-python, zstandard)")
        pip = ["-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
        choices = ["--no-deps", "--no-binary=:all:", "--no-build-isolation", "--require-hashes"]
        process.run(
            [environment.python, *pip, *choices, "-r", SOURCES_LOCK, "-d", work / "archives"],
            env=_with_tools(environment),
        )
        for archive in sorted((work / "archives").iterdir()):
            unpack_archive(archive, work)

    root = cache.get_or_build("sources", digest, build)
    archives = {path.name: file_sha256(path) for path in sorted((root / "archives").iterdir())}
    return Sources(
        llama_cpp_python=_only(root, "llama_cpp_python-*"), zstandard=_only(root, "zstandard-*"), digests=archives
    )


def _with_tools(environment: BuildEnvironment) -> dict[str, str]:
    base = process.clean_environment()
    return base | {"PATH": f"{environment.root / 'bin'}:{base.get('PATH', '')}"}


def unpack_archive(archive: Path, destination: Path) -> None:
    """Unpack a ``.tar.gz`` or ``.zip`` source distribution; members never leave ``destination``."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(destination)
        return
    with tarfile.open(archive) as packed:
        packed.extractall(destination, filter="data")


def _only(root: Path, pattern: str) -> Path:
    found = [path for path in root.glob(pattern) if path.is_dir()]
    if len(found) != 1:
        raise BuildError(f"{root}: expected one directory {pattern}, found {len(found)}; remove it and try again")
    return found[0]
