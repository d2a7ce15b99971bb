"""Packed with ``--windowed``: no console, so what would be printed goes to a log file and errors into a dialog."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "PACKER_WINDOWED"
MAX_LOG_BYTES = 1 << 20


def log_path(environ: Mapping[str, str]) -> Path | None:
    """Where the log goes: ``logs`` beside the unpacked runtimes; ``None`` when there is a console to print to."""
    entry, bundle = environ.get("PACKER_CACHE_ENTRY"), environ.get("PACKER_BUNDLE")
    if environ.get(VARIABLE) != "1" or not entry or not bundle:
        return None
    return Path(entry).parent / "logs" / f"{Path(bundle).stem}.log"


def print_to_log(path: Path) -> None:
    """Send standard output and error to the log from now on; a large one is begun anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_large = path.exists() and path.stat().st_size > MAX_LOG_BYTES
    stream = path.open("w" if is_large else "a", encoding="utf-8", errors="replace", buffering=1)
    sys.stdout = sys.stderr = stream
