"""Finds the shared libpython that a frozen program needs, or fetches Debian's where the system came without it.

Debian and Ubuntu link ``python3`` statically and ship the shared library as a package of its own that a fresh system
lacks. ``apt-get download`` fetches it without root and without installing anything.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

from packer.errors import BuildError
from packer.toolchain import process

LOADER_DIRECTORIES = ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib")


def find_or_fetch(work: Path) -> Path | None:
    """Return the path of a fetched libpython, or ``None`` when the system has one where PyInstaller looks.

    Raises BuildError with what to install when there is none to be had.
    """
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    places = [str(sysconfig.get_config_var("LIBDIR")), f"{sys.base_prefix}/lib", *LOADER_DIRECTORIES]
    if any((Path(place) / name).exists() for place in places):
        return None
    package = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise BuildError(f"{name} was not found; install your system's shared Python library and try again")
    work.mkdir(parents=True)
    try:
        process.run(["apt-get", "download", package], cwd=work)
    except BuildError as error:
        raise BuildError(f"{name} was not found; install it with: sudo apt install {package}") from error
    for archive in work.glob("*.deb"):
        process.run(["dpkg-deb", "-x", archive, work / "root"])
    found = sorted((work / "root").rglob(name))
    if not found:
        raise BuildError(f"{name} is not in the package {package}; install it with: sudo apt install {package}")
    return found[0]
