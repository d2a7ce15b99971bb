"""Opens the page in the user's browser, when there is a desktop to open it on.

The browser must not inherit what the launcher and the frozen program changed: ``LD_LIBRARY_PATH`` above all, with
which it would load this program's libraries instead of its own, and the allocator's settings in ``GLIBC_TUNABLES``.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG = logging.getLogger(__name__)

ORIGINALS = {
    "LD_LIBRARY_PATH": "PACKER_ORIG_LD_LIBRARY_PATH",
    "GLIBC_TUNABLES": "PACKER_ORIG_GLIBC_TUNABLES",
}
"""What the launcher changes, and where it leaves the user's value, if there was one."""
OWN_PREFIXES = ("PACKER_", "_PYI", "_MEI")
DISPLAY_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY")
OPENERS = (
    ("xdg-open",),
    ("gio", "open"),
    ("wslview",),
    ("sensible-browser",),
    ("x-www-browser",),
    ("firefox",),
    ("chromium",),
    ("google-chrome",),
)
SYSTEM_OPENERS = {"darwin": (("open",),)}


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` as it was before the launcher: for every program that is started from here."""
    cleaned = {name: value for name, value in environ.items() if not name.startswith(OWN_PREFIXES)}
    if "PACKER_CACHE_ENTRY" not in environ and not any(kept in environ for kept in ORIGINALS.values()):
        return cleaned
    for name, kept in ORIGINALS.items():
        cleaned.pop(name, None)
        if kept in environ:
            cleaned[name] = environ[kept]
    return cleaned


def has_display(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Tell whether a browser window could be seen."""
    return platform in {"darwin", "win32"} or any(environ.get(name) for name in DISPLAY_VARIABLES)


def open_page(url: str, environ: Mapping[str, str]) -> bool:
    """Open ``url`` with a program that runs on its own, its output thrown away; ``False`` when none was found."""
    return _open_on_windows(url) if sys.platform == "win32" else start_opener(url, environ) is not None


def start_opener(url: str, environ: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    """Start a program that opens ``url``; ``None`` when none was found."""
    command = _command(environ)
    if command is None:
        return None
    try:
        opener = subprocess.Popen(
            [*command, url],
            env=child_environment(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        _LOG.debug("%s can't be started: %s", command[0], error)
        return None
    _LOG.debug("opened %s with %s", url, command[0])
    return opener


def _open_on_windows(url: str) -> bool:
    """Have Windows open ``url`` as a double click would."""
    if sys.platform != "win32":
        return False
    try:
        os.startfile(url)
    except OSError as error:
        _LOG.debug("Windows can't open %s: %s", url, error)
        return False
    return True


def _command(environ: Mapping[str, str]) -> list[str] | None:
    """Choose the opener: ``$BROWSER`` if it names a program, else the desktop's own, else a browser."""
    wanted = environ.get("BROWSER", "").split(os.pathsep)[0]
    candidates: list[tuple[str, ...]] = [(wanted,)] if wanted and "%" not in wanted else []
    candidates += SYSTEM_OPENERS.get(sys.platform, OPENERS)
    for candidate in candidates:
        found = shutil.which(candidate[0], path=environ.get("PATH"))
        if found:
            return [found, *candidate[1:]]
    return None
