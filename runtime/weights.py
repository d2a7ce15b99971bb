"""The model of a packed file that keeps it beside itself: found, checked once against the manifest, then trusted.

Reading gigabytes at every start would cost seconds, so what was checked is remembered by path, size and time of the
last change, beside the unpacked runtimes; ``--verify`` always reads everything.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from packer.container.reader import open_bundle
from packer.container.weights import check_weights, find_weights
from runtime.bundle import ModelSource, find_prompts, with_packed_parts
from runtime.llama.model import ModelFile
from runtime.report import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packer.container.manifest import ExternalWeights
    from runtime.bundle import Contents

CACHE_VARIABLE = "PACKER_CACHE_ENTRY"


def external_model(contents: Contents, environ: Mapping[str, str]) -> ModelSource | None:
    """Return the model beside the packed file, or ``None`` when it has none there.

    Raises InputError when it is missing, DamagedError when it isn't the one that was packed.
    """
    summary, weights = contents.manifest.model, contents.manifest.weights
    if summary is None or weights is None:
        return None
    path = find_weights(contents.path, weights)
    _check_once(path, weights, environ)
    with open_bundle(contents.path) as bundle:
        source = ModelSource(
            file=ModelFile(path=path),
            name=summary.name,
            context_length=summary.context_length,
            description=asdict(summary),
            prompts=find_prompts(bundle, weights.sha256),
        )
        return with_packed_parts(source, bundle)


def _check_once(path: Path, weights: ExternalWeights, environ: Mapping[str, str]) -> None:
    mark = _mark(path, weights, environ)
    if mark is not None and mark.exists():
        return
    say(f"Checking {path.name} (first start only) ...", sys.stderr)
    check_weights(path, weights)
    if mark is not None:
        try:
            mark.touch()
        except OSError:
            return  # it is checked again next time


def _mark(path: Path, weights: ExternalWeights, environ: Mapping[str, str]) -> Path | None:
    """The file whose presence says that exactly this state of ``path`` was checked."""
    entry = environ.get(CACHE_VARIABLE)
    if not entry:
        return None
    state = path.stat()
    facts = f"{os.path.realpath(path)}\0{state.st_size}\0{state.st_mtime_ns}\0{weights.sha256}"
    return Path(entry).parent / f"{hashlib.sha256(facts.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.checked"
