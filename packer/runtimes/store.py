"""The runtimes at hand: those built for this checkout and those added from a file built elsewhere.

An added runtime is one file in the user's data directory, named after its target and runtime id. It is used when it
was made by the same version of packer, so that an air-gapped builder needs neither a compiler nor a registry.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from packer import __version__
from packer.container import layout
from packer.container.reader import open_bundle
from packer.container.writer import complete_or_nothing
from packer.errors import InputError
from packer.runtimes.recipe import TARGETS, build_runtime
from packer.toolchain.build_cache import BuildCache, NotBuiltError, default_build_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from packer.container.manifest import TargetSummary

STORE_VARIABLE = "PACKER_RUNTIMES_DIR"


@dataclass(frozen=True, kw_only=True)
class StoredRuntime:
    """A runtime at hand; ``origin`` is ``built`` or ``added``, ``usable`` whether this packer can pack it."""

    target: str
    summary: TargetSummary
    packer_version: str
    path: Path
    origin: str

    @property
    def size_bytes(self) -> int:
        """Size of the runtime file: about what it adds to a packed model."""
        return self.path.stat().st_size

    @property
    def usable(self) -> bool:
        """Whether it was made by this version of packer."""
        return self.packer_version == __version__

    def describe(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "target": self.target,
            "runtime_id": self.summary.runtime_id,
            "packer_version": self.packer_version,
            "python": self.summary.python,
            "llama_cpp": self.summary.llama_cpp,
            "requires_glibc": self.summary.requires_glibc,
            "size_bytes": self.size_bytes,
            "origin": self.origin,
            "path": str(self.path),
            "usable": self.usable,
        }


@dataclass(frozen=True, kw_only=True)
class RuntimeStore:
    """Runtimes built into ``cache`` and files added under ``added_root``."""

    cache: BuildCache
    added_root: Path

    def find(self, target: str) -> StoredRuntime | None:
        """Return the runtime to pack for ``target``: the one built for this checkout, else an added one."""
        _check_target(target)
        built = self._built(target)
        if built is not None:
            return built
        return next((runtime for runtime in self._added() if runtime.target == target and runtime.usable), None)

    def build(self, target: str, note: Callable[[str], None]) -> StoredRuntime:
        """Build the runtime of ``target`` when it is missing. Raises BuildError."""
        _check_target(target)
        return _open(build_runtime(self.cache, target, note), "built")

    def runtimes(self) -> list[StoredRuntime]:
        """All runtimes at hand, the built ones first."""
        built = [self._built(target) for target in TARGETS]
        return [runtime for runtime in built if runtime is not None] + self._added()

    def add(self, path: Path) -> StoredRuntime:
        """Verify a runtime file and keep a copy. Raises InputError or DamagedError."""
        runtime = _open(path, "added")
        with open_bundle(path) as bundle:
            problems = bundle.verify()
        if problems:
            raise InputError(f"{path}: is damaged: {problems[0]}")
        if not runtime.usable:
            raise InputError(
                f"{path}: was built by packer {runtime.packer_version} and this is {__version__}; use equal versions"
            )
        self.added_root.mkdir(parents=True, exist_ok=True)
        destination = self.added_root / f"{runtime.target}-{runtime.summary.runtime_id[:12]}.runtime"
        with (
            path.open("rb") as source,
            complete_or_nothing(destination, needed_bytes=runtime.size_bytes, mode=0o644) as descriptor,
            os.fdopen(os.dup(descriptor), "wb") as output,
        ):
            shutil.copyfileobj(source, output)
        return _open(destination, "added")

    def remove(self, name: str) -> list[StoredRuntime]:
        """Remove every runtime whose target is ``name`` or whose id starts with it. Raises InputError when none."""
        chosen = [
            runtime
            for runtime in self.runtimes()
            if runtime.target == name or (len(name) >= 4 and runtime.summary.runtime_id.startswith(name))
        ]
        if not chosen:
            raise InputError(f"{name}: no such runtime; packer runtimes list shows targets and ids")
        for runtime in chosen:
            if runtime.origin == "built":
                shutil.rmtree(runtime.path.parent)
            else:
                runtime.path.unlink()
        return chosen

    def _built(self, target: str) -> StoredRuntime | None:
        looking = dataclasses.replace(self.cache, may_build=False)
        with contextlib.suppress(NotBuiltError):
            return _open(build_runtime(looking, target, lambda _text: None), "built")
        return None

    def _added(self) -> list[StoredRuntime]:
        return [_open(path, "added") for path in sorted(self.added_root.glob("*.runtime"))]


def default_store(environment: Mapping[str, str] | None = None) -> RuntimeStore:
    """This user's store: ``$PACKER_RUNTIMES_DIR`` or the system's place for data."""
    chosen = (os.environ if environment is None else environment).get(STORE_VARIABLE)
    root = Path(chosen).absolute() if chosen else platformdirs.user_data_path("packer") / "runtimes"
    return RuntimeStore(cache=default_build_cache(environment), added_root=root)


def _check_target(target: str) -> None:
    if target not in TARGETS:
        raise InputError(f"{target}: unknown target; this packer builds {', '.join(TARGETS)}")


def _open(path: Path, origin: str) -> StoredRuntime:
    with open_bundle(path) as bundle:
        manifest = bundle.manifest
        target, summary = next(iter(manifest.targets.items()), ("", None))
        if layout.launcher_name(target) not in bundle.entries or len(manifest.targets) != 1 or summary is None:
            raise InputError(f"{path}: is not a runtime file; expected one made by packer runtimes build")
    return StoredRuntime(
        target=target, summary=summary, packer_version=manifest.packer_version, path=path, origin=origin
    )
