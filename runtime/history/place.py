"""Where chats are kept: one directory for each assistant, in the user's data directory.

An assistant is what the page's title names. The next version of a packed file keeps its title and so finds the chats
of the one before, whatever model is in it; two files with different titles never see each other's. Whoever packs a
file can set ``history.name`` to keep the chats together when the title changes, or apart when it does not.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.history.errors import HistoryOffError

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA_VARIABLE = "PACKER_DATA_DIR"
DIRECTORY = "packer-chats"
FILE_NAME = "chats.db"
MAX_SLUG_CHARACTERS = 40
DIGEST_CHARACTERS = 8


def choose_directory(name: str, wanted: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the directory for the assistant ``name``.

    ``wanted`` comes first, then ``$PACKER_DATA_DIR``, then the user's data directory. Raises HistoryOffError when none
    is known.
    """
    base = wanted or (Path(environ[DATA_VARIABLE]) if environ.get(DATA_VARIABLE) else user_data_directory())
    return Path(os.path.abspath(base)) / directory_name(name)  # noqa: PTH100


def user_data_directory() -> Path:
    """Return the place that the system gives to a user's data. Raises HistoryOffError when there is no home."""
    import platformdirs

    try:
        return platformdirs.user_data_path(DIRECTORY, appauthor=False)
    except RuntimeError as error:
        raise HistoryOffError("this user has no home directory; choose a place for chats with --data-dir") from error


def directory_name(name: str) -> str:
    """Return a file name for ``name``: its ASCII letters and digits, then a digest that tells similar names apart."""
    normal = unicodedata.normalize("NFKC", name).casefold().strip()
    slug = re.sub(r"[^a-z0-9]+", "-", normal).strip("-")[:MAX_SLUG_CHARACTERS].strip("-")
    digest = hashlib.sha256(normal.encode("utf-8", "replace")).hexdigest()[:DIGEST_CHARACTERS]
    return f"{slug}-{digest}" if slug else digest
