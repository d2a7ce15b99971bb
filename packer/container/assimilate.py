"""Turns a portable packed file into one system's plain native file, for places that insist on one.

The copy has the native launcher in front, which stands in a portable file as ``launcher/<target>``, and leaves out the
other systems' runtimes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from packer.container import layout
from packer.container.reader import open_bundle
from packer.container.writer import ContainerWriter, complete_or_nothing
from packer.errors import InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_LAUNCHER_BYTES = 16 * 1024 * 1024


def assimilate(source: Path, output: Path, target: str, progress: Callable[[int], None] | None = None) -> None:
    """Write the native copy of ``source`` for ``target`` to ``output``.

    Raises InputError when ``source`` is no portable file or has nothing for ``target``, OutputError.
    """
    if output.exists() and output.samefile(source):
        raise OutputError(f"{output}: is the portable file itself; choose another name for the native copy")
    with open_bundle(source) as bundle:
        manifest = bundle.manifest
        name = layout.launcher_name(target)
        if target not in manifest.targets:
            raise InputError(f"{source}: runs on {', '.join(manifest.targets)} and not on {target}; pack it for that")
        if name not in bundle.entries:
            raise InputError(f"{source}: is a native file for {target} already")
        launcher = bundle.read(name, MAX_LAUNCHER_BYTES)
        with complete_or_nothing(output, needed_bytes=bundle.size_bytes) as descriptor:
            writer = ContainerWriter(descriptor, launcher, progress)
            for entry in bundle.entries:
                if _is_kept(entry, target):
                    writer.add_copy(bundle, entry, manifest.sha256[entry])
            native = replace(
                manifest,
                targets={target: manifest.targets[target]},
                launcher_bytes=writer.launcher_bytes,
                launcher_sha256=writer.launcher_sha256,
                sha256=writer.sha256,
            )
            writer.finish(native.to_json())


def _is_kept(name: str, target: str) -> bool:
    if name == layout.MANIFEST_NAME or name.startswith(layout.LAUNCHER_PREFIX):
        return False
    return not name.startswith(layout.RUNTIME_PREFIX) or name.startswith(f"{layout.RUNTIME_PREFIX}{target}/")
