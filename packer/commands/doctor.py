"""``packer doctor``: can this machine build and pack, and if not, what would mend it."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from packer.commands.console import echo_json, size_in_words
from packer.errors import BuildError, MachineError

if TYPE_CHECKING:
    from pathlib import Path

NEEDED_DISK_BYTES = 4_000_000_000


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at; ``cure`` says what to do when it is not ``ok``."""

    name: str
    ok: bool
    found: str
    cure: str = ""


@click.command(epilog="Example:\n\n  packer doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def doctor(as_json: bool) -> None:
    """Check what packing and building need on this machine."""
    findings = [_python(), _venv(), _machine(), _disk(), _c_library(), _runtime()]
    if as_json:
        echo_json([finding.__dict__ for finding in findings])
    for finding in findings if not as_json else ():
        click.echo(f"{'ok ' if finding.ok else 'NO '} {finding.name:18} {finding.found}")
        if not finding.ok:
            click.echo(f"    {'':18} {finding.cure}")
    if not all(finding.ok for finding in findings):
        raise MachineError("something that building a runtime needs is missing; see above")


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(name="Python", ok=sys.version_info >= (3, 11), found=version, cure="install Python 3.11 or newer")


def _venv() -> Finding:
    there = importlib.util.find_spec("venv") is not None and importlib.util.find_spec("ensurepip") is not None
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    return Finding(
        name="venv and pip", ok=there, found="present" if there else "absent", cure=f"sudo apt install {package}"
    )


def _machine() -> Finding:
    import platform

    found = f"{platform.system()} {platform.machine()}"
    return Finding(
        name="build machine",
        ok=found == "Linux x86_64",
        found=found,
        cure="runtimes are built on x86-64 Linux; add one built there",
    )


def _disk() -> Finding:
    from packer.toolchain.build_cache import default_build_cache

    place: Path = default_build_cache().root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    return Finding(
        name="space for builds",
        ok=free >= NEEDED_DISK_BYTES,
        found=f"{size_in_words(free)} free in {place}",
        cure=f"make room for {size_in_words(NEEDED_DISK_BYTES)} or set PACKER_BUILD_CACHE_DIR",
    )


def _c_library() -> Finding:
    from packer.toolchain import c_library

    try:
        for name in (*c_library.CARRIED, c_library.ZLIB):
            c_library.find_library(name)
    except BuildError as error:
        return Finding(name="C library", ok=False, found=str(error), cure="build on a system with glibc and zlib")
    return Finding(name="C library", ok=True, found=f"glibc {c_library.host_glibc_version()}")


def _runtime() -> Finding:
    from packer.runtimes.recipe import TARGETS
    from packer.runtimes.store import default_store

    store = default_store()
    found = {target: store.find(target) for target in TARGETS}
    words = [f"{target} {one.summary.runtime_id[:12] if one else 'not built yet'}" for target, one in found.items()]
    return Finding(name="runtime", ok=True, found=", ".join(words))
