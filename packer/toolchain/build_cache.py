"""A cache of build results outside the checkout, addressed by a digest of everything that went into them.

An entry is complete or missing, never in between: it is filled in a work directory beside its place under a file
lock and renamed on success, so a build that is killed leaves nothing that a later one would trust.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import platformdirs

from packer.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CACHE_VARIABLE = "PACKER_BUILD_CACHE_DIR"


class NotBuiltError(BuildError):
    """A build result is missing from a cache that may not build."""


@dataclass(frozen=True, kw_only=True)
class BuildCache:
    """Build results under ``root``: one directory ``<step>-<digest>`` each; built on demand unless forbidden."""

    root: Path
    may_build: bool = True

    def path_of(self, step: str, digest: str) -> Path:
        """Where the result of ``step`` for the inputs with ``digest`` stands or would stand."""
        return self.root / f"{step}-{digest[:16]}"

    def get_or_build(self, step: str, digest: str, build: Callable[[Path], None]) -> Path:
        """Return the complete entry; when it is missing, have ``build`` fill a work directory that becomes it."""
        path = self.path_of(step, digest)
        if path.is_dir():
            return path
        if not self.may_build:
            raise NotBuiltError(f"{path.name} is not built yet; run: packer runtimes build")
        self.root.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.root / f"{path.name}.lock"):
            if path.is_dir():
                return path
            with _work_directory(path) as work:
                build(work)
                work.rename(path)
        return path


@contextlib.contextmanager
def _work_directory(path: Path) -> Iterator[Path]:
    work = path.with_name(f"{path.name}.work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def default_build_cache(environment: Mapping[str, str] | None = None) -> BuildCache:
    """The cache of this user: ``$PACKER_BUILD_CACHE_DIR`` or the system's place for caches."""
    chosen = (os.environ if environment is None else environment).get(CACHE_VARIABLE)
    return BuildCache(root=Path(chosen).absolute() if chosen else platformdirs.user_cache_path("packer") / "builds")


def digest_of(value: object) -> str:
    """SHA-256 of a JSON value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_of_files(root: Path, paths: list[Path]) -> dict[str, str]:
    """Map each path, relative to ``root``, to the SHA-256 of the file."""
    return {path.relative_to(root).as_posix(): file_sha256(path) for path in sorted(paths)}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
