"""Weights that stand in a file of their own beside the program: finding them and knowing that they are the right ones.

Windows runs no program of 4 GiB or more, so a larger model goes into ``chat.gguf`` beside ``chat.exe``. The manifest
holds its name, size and SHA-256.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from packer.errors import DamagedError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.container.manifest import ExternalWeights

CHUNK_BYTES = 4 * 1024 * 1024


def find_weights(program: Path, weights: ExternalWeights) -> Path:
    """Return the file with the weights of ``program``, looked for under its packed name and the program's own.

    Raises InputError when neither is there, DamagedError when one is and has another size.
    """
    candidates = [program.with_name(weights.file), program.with_suffix(".gguf")]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise InputError(
            f"{program}: its model stands in a file of its own, {weights.file} ({weights.size_bytes:,} bytes), which "
            f"is missing; put it into {program.parent}, or name it with --model PATH"
        )
    size_bytes = found.stat().st_size
    if size_bytes != weights.size_bytes:
        raise DamagedError(
            f"{found}: has {size_bytes:,} bytes and the model packed with {program.name} has {weights.size_bytes:,}; "
            "copy or download it again"
        )
    return found


def check_weights(path: Path, weights: ExternalWeights, progress: Callable[[int], None] | None = None) -> None:
    """Read all of ``path``. Raises DamagedError when it is not what was packed."""
    report = progress or (lambda _count: None)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(CHUNK_BYTES):
                digest.update(piece)
                report(len(piece))
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); check the disk") from error
    if digest.hexdigest() != weights.sha256:
        raise DamagedError(
            f"{path}: SHA-256 is {digest.hexdigest()}, expected {weights.sha256}; it is damaged or another model: "
            "copy or download it again, or name it with --model PATH to use it all the same"
        )
