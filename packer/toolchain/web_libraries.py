"""Fetches the page's JavaScript libraries from the npm registry by pinned hash; the files that are used, and no others.

``packer/locks/web.json`` names each package with its version, the SHA-512 of its archive (npm's ``integrity``), its
licence and the few files taken from it. The ``npm`` client fetches where there is one, so its configuration (registry,
proxy, credentials) holds; a machine without it downloads the same archives itself. Either way only the digest counts.
Packages without files are bundled inside others (markdown-it's browser build) and give their licence texts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.toolchain import process
from packer.toolchain.build_cache import digest_of
from packer.toolchain.environment import LOCKS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from packer.toolchain.build_cache import BuildCache

WEB_LOCK = LOCKS / "web.json"
REGISTRY_VARIABLE = "NPM_CONFIG_REGISTRY"
DEFAULT_REGISTRY = "https://registry.npmjs.org/"
TIMEOUT_S = 120
MAX_ARCHIVE_BYTES = 64 << 20
PAGE, TESTS = "page", "tests"


@dataclass(frozen=True, kw_only=True)
class WebPackage:
    """One pinned package. ``files`` maps where a file goes to where it stands in the package."""

    name: str
    version: str
    integrity: str
    licence: str
    use: str
    licence_files: tuple[str, ...]
    files: Mapping[str, str]

    @property
    def archive_name(self) -> str:
        """The archive's last path segment in the registry, such as ``katex-0.19.1.tgz``."""
        return f"{self.name.rpartition('/')[2]}-{self.version}.tgz"

    @property
    def licence_name(self) -> str:
        """The name that its licence text is kept under."""
        return f"{self.name.strip('@').replace('/', '-')}.txt"


def read_lock(path: Path = WEB_LOCK) -> tuple[WebPackage, ...]:
    """Return what the lock file pins."""
    entries = json.loads(path.read_text(encoding="utf-8"))["packages"]
    return tuple(WebPackage(**{**entry, "licence_files": tuple(entry["licence_files"])}) for entry in entries)


def web_digest(use: str) -> str:
    """Digest of everything that decides what :func:`web_libraries` returns for ``use``."""
    return digest_of([vars(package) for package in read_lock() if package.use == use])


def web_libraries(cache: BuildCache, use: str = PAGE) -> Path:
    """Return a directory with ``libraries/`` and ``licenses/``; fetches it when it is missing. Raises BuildError."""

    def build(work: Path) -> None:
        archives = work / "archives"
        archives.mkdir()
        for package in read_lock():
            if package.use == use:
                unpack(package, fetch(package, archives), work)
        shutil.rmtree(archives)

    return cache.get_or_build("web", web_digest(use), build)


def fetch(package: WebPackage, directory: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Fetch the archive of ``package`` into ``directory`` and check it. Raises BuildError."""
    npm = shutil.which("npm", path=environment.get("PATH"))
    path = _fetch_with_npm(npm, package, directory) if npm else _download(package, directory, environment)
    found = integrity_of(path)
    if found != package.integrity:
        raise BuildError(f"{package.name} {package.version}: expected the digest {package.integrity}, found {found}")
    return path


def _fetch_with_npm(npm: str, package: WebPackage, directory: Path) -> Path:
    target = directory / package.archive_name
    target.with_suffix("").mkdir()
    options: list[str | Path] = ["--silent", "--ignore-scripts", "--pack-destination", target.with_suffix("")]
    process.run([npm, "pack", *options, f"{package.name}@{package.version}"], cwd=directory)
    found = sorted(target.with_suffix("").glob("*.tgz"))
    if len(found) != 1:
        raise BuildError(f"{package.name}: npm pack was expected to give one archive, found {len(found)}")
    return found[0]


def _download(package: WebPackage, directory: Path, environment: Mapping[str, str]) -> Path:
    registry = environment.get(REGISTRY_VARIABLE) or environment.get(REGISTRY_VARIABLE.lower()) or DEFAULT_REGISTRY
    address = f"{registry.rstrip('/')}/{package.name}/-/{package.archive_name}"
    path = directory / package.archive_name
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            data = answer.read(MAX_ARCHIVE_BYTES + 1)
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise BuildError(f"{address} can't be downloaded ({error}); set {REGISTRY_VARIABLE} to a mirror") from error
    if len(data) > MAX_ARCHIVE_BYTES:
        raise BuildError(f"{address}: expected at most {MAX_ARCHIVE_BYTES} bytes, found more")
    path.write_bytes(data)
    return path


def integrity_of(path: Path) -> str:
    """The digest of a file in the form of the W3C's Subresource Integrity, which npm uses."""
    with path.open("rb") as stream:
        return f"sha512-{base64.b64encode(hashlib.file_digest(stream, 'sha512').digest()).decode()}"


def unpack(package: WebPackage, archive: Path, work: Path) -> None:
    """Copy the files that are used, and the licence texts, out of ``archive``. Raises BuildError when one is missing.

    Members are read by their names below the archive's one folder and written to places that the lock file names, so
    nothing else in the archive matters.
    """
    with tarfile.open(archive) as packed:
        members = {name.partition("/")[2]: name for name in packed.getnames()}

        def read(name: str) -> bytes:
            stream = packed.extractfile(members[name]) if name in members else None
            if stream is None:
                raise BuildError(f"{package.name} {package.version}: expected the file {name}, which it does not have")
            return stream.read()

        for place, name in package.files.items():
            target = work / "libraries" / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(read(name))
        licences = work / "licenses"
        licences.mkdir(exist_ok=True)
        (licences / package.licence_name).write_bytes(b"\n\n".join(read(name) for name in package.licence_files))
