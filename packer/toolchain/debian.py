"""Packages of Debian 13, fetched by the hashes in ``packer/locks/debian.txt`` and unpacked beside the system.

Nothing is installed. A stable release replaces a package only for a security or point update, and keeps the one before
in its snapshot archive; both places are asked, and the hash decides whether what came is the right file.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.toolchain import process
from packer.toolchain.build_cache import digest_of, file_sha256
from packer.toolchain.environment import LOCKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from packer.toolchain.build_cache import BuildCache

DEBIAN_LOCK = LOCKS / "debian.txt"
DOWNLOADER = Path("/usr/lib/apt/apt-helper")
ARCHIVES = ("http://deb.debian.org/debian/", "https://snapshot.debian.org/archive/debian/20261101T000000Z/")


def debian_packages(cache: BuildCache, note: Callable[[str], None]) -> Path:
    """Return the directory below which the pinned packages are unpacked; fetches them when missing (8 MB)."""

    def build(work: Path) -> None:
        note("fetching the shader compiler and the Vulkan headers from Debian")
        downloads = work / "packages"
        downloads.mkdir()
        for path, sha256 in pinned_packages():
            archive = _fetch(path, sha256, downloads)
            process.run(["dpkg-deb", "-x", archive, work / "root"])
        shutil.rmtree(downloads)

    return cache.get_or_build("debian-packages", packages_digest(), build) / "root"


def packages_digest() -> str:
    """What decides the content of the unpacked packages."""
    return digest_of(pinned_packages())


def pinned_packages(lock: Path = DEBIAN_LOCK) -> list[tuple[str, str]]:
    """The pairs of path and SHA-256 in a lock file."""
    lines = lock.read_text(encoding="ascii").splitlines()
    pairs = [line.split() for line in lines if line and not line.startswith("#")]
    return [(path, sha256) for path, sha256 in pairs]


def _fetch(path: str, sha256: str, directory: Path) -> Path:
    """Fetch one package from the first archive that has it. Raises BuildError naming the package."""
    if not DOWNLOADER.exists() or not shutil.which("dpkg-deb"):
        raise BuildError("the Vulkan backend is built on Debian or Ubuntu (apt and dpkg fetch its tools); "
                         "add one that was built there with packer runtimes add")  # fmt: skip
    destination = directory / Path(path).name
    problems = []
    for archive in ARCHIVES:
        try:
            process.run([DOWNLOADER, "download-file", f"{archive}{path}", destination, f"SHA256:{sha256}"])
        except BuildError as error:
            problems.append(str(error).splitlines()[-1])
            continue
        found = file_sha256(destination)
        if found == sha256:
            return destination
        problems.append(f"{archive}: expected SHA-256 {sha256}, found {found}")
    raise BuildError(f"{Path(path).name}: can't be fetched from Debian: {'; '.join(problems)}")
