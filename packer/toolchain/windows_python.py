"""Everything for a Windows program that comes ready-made from PyPI: CPython, the bootloader, compiled packages.

CPython for Windows stands complete in a wheel of panda3d (``deploy_libs``: the interpreter as a DLL, the standard
library's compiled modules and the DLLs they need), PyInstaller's official bootloader in its own wheel for Windows.
All are fetched for ``win_amd64`` by the hashes in ``packer/locks/windows.txt``; nothing of them runs here.
"""

from __future__ import annotations

import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pefile

from packer.errors import BuildError
from packer.toolchain import process
from packer.toolchain.build_cache import digest_of, file_sha256
from packer.toolchain.environment import LOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from packer.toolchain.build_cache import BuildCache
    from packer.toolchain.environment import BuildEnvironment

WINDOWS_LOCK = LOCKS / "windows.txt"
WANTED = {"panda3d": ("deploy_libs/", "panda3d-"), "pyinstaller": ("PyInstaller/bootloader/Windows", "pyinstaller-")}
BOOTLOADER = "PyInstaller/bootloader/Windows-64bit-intel/run.exe"


@dataclass(frozen=True, kw_only=True)
class WindowsPython:
    """The unpacked wheels under ``root``: a ``site`` of packages, among them CPython's ``deploy_libs``."""

    root: Path

    @property
    def site(self) -> Path:
        """The packages' files, as an installation would lay them out."""
        return self.root / "site"

    @property
    def libraries(self) -> Path:
        """CPython's DLLs and compiled modules."""
        return self.site / "deploy_libs"

    @property
    def python_dll(self) -> Path:
        """The interpreter."""
        return self.libraries / f"python{sys.version_info.major}{sys.version_info.minor}.dll"

    @property
    def version(self) -> str:
        """The interpreter's version, such as ``3.11.9``, as its file says."""
        with pefile.PE(str(self.python_dll), fast_load=True) as image:
            image.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_RESOURCE"]])
            numbers = image.VS_FIXEDFILEINFO[0].FileVersionMS, image.VS_FIXEDFILEINFO[0].FileVersionLS
        # The last part counts in thousands: 3.11.9150.1013 is 3.11.9.
        return f"{numbers[0] >> 16}.{numbers[0] & 0xFFFF}.{(numbers[1] >> 16) // 1000}"

    def needed_libraries(self, binaries: Iterable[Path]) -> list[Path]:
        """The DLLs of ``deploy_libs`` that ``binaries`` ask for, and those that these ask for."""
        at_hand = {path.name.lower(): path for path in self.libraries.glob("*.dll")}
        found: dict[str, Path] = {}
        waiting = list(binaries)
        while waiting:
            for name in imported_libraries(waiting.pop()):
                if name in at_hand and name not in found and not name.startswith("api-ms-win-"):
                    found[name] = at_hand[name]
                    waiting.append(at_hand[name])
        return [found[name] for name in sorted(found)]


def imported_libraries(path: Path) -> list[str]:
    """Names, in lower case, of the DLLs that a PE file imports."""
    with pefile.PE(str(path), fast_load=True) as image:
        image.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_IMPORT"]])
        return [entry.dll.decode().lower() for entry in getattr(image, "DIRECTORY_ENTRY_IMPORT", [])]


def windows_python(cache: BuildCache, environment: BuildEnvironment, note: Callable[[str], None]) -> WindowsPython:
    """Return the unpacked wheels, fetching them when they are missing (70 MB). Raises BuildError."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"

    def build(work: Path) -> None:
        note("downloading CPython and the compiled packages for Windows")
        choices = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--platform", "win_amd64"]
        choices += ["--python-version", version, "--implementation", "cp", "--quiet"]
        pip: list[str | Path] = [environment.python, "-m", "pip", "--disable-pip-version-check", "download", *choices]
        process.run([*pip, "-r", WINDOWS_LOCK, "-d", work / "wheels"], env=process.clean_environment())
        for wheel in sorted((work / "wheels").iterdir()):
            _unpack_wheel(wheel, work / "site")
            wheel.unlink()

    root = cache.get_or_build("windows-python", digest_of([version, file_sha256(WINDOWS_LOCK)]), build)
    found = WindowsPython(root=root)
    if not found.python_dll.exists():
        raise BuildError(f"{WINDOWS_LOCK.name}: its packages hold no {found.python_dll.name}; use another Python")
    return found


def _unpack_wheel(wheel: Path, site: Path) -> None:
    """Unpack what is wanted of a wheel; members never leave ``site`` (``ZipFile.extract`` sees to that)."""
    wanted = WANTED.get(wheel.name.partition("-")[0].lower(), ("",))
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            if name.startswith(wanted):
                packed.extract(name, site)
