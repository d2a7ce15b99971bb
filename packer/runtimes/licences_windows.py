"""Licences of what a runtime for Windows holds besides our own code and the Python packages: DLLs and linked libraries.

CPython's libraries come from panda3d's wheel, whose own licence text names them only in part; the others state theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.runtimes.component import Component, first_text

if TYPE_CHECKING:
    from pathlib import Path

    from packer.toolchain.environment import BuildEnvironment
    from packer.toolchain.windows_python import WindowsPython

LIBRARIES = {
    "libcrypto-3.dll": ("OpenSSL", "Apache-2.0"),
    "libffi-8.dll": ("libffi", "MIT"),
    "vcruntime140.dll": ("Visual C++ runtime", "LicenseRef-Microsoft-redistributable"),
    "_bz2.pyd": ("bzip2", "bzip2-1.0.6"),
    "_lzma.pyd": ("xz", "0BSD"),
    "_decimal.pyd": ("mpdecimal", "BSD-2-Clause"),
    "_elementtree.pyd": ("expat", "MIT"),
    "pyexpat.pyd": ("expat", "MIT"),
    "sqlite3.dll": ("SQLite", "blessing"),
    "libssl-3.dll": ("OpenSSL", "Apache-2.0"),
}
"""Who made what stands in a DLL, by the DLL's name in lower case; a DLL that is missing here is an error."""
OURS = ("python", "ggml", "libllama", "libpacker")
EXTENSIONS_OF_PYTHON = (
    "_asyncio", "_ctypes", "_hashlib", "_queue", "_socket", "_uuid", "_zoneinfo", "_sqlite3", "_ssl", "_overlapped",
    "select", "unicodedata",
)  # fmt: skip


def components(environment: BuildEnvironment, windows: WindowsPython, tree: Path) -> list[Component]:
    """List the libraries inside ``tree``. Raises BuildError for a library whose licence is not known."""
    zig = environment.zig.parent / "lib" / "libc" / "mingw"
    mingw = first_text("mingw-w64", [zig / "COPYING"])
    panda = first_text("panda3d", sorted(windows.site.glob("panda3d-*.dist-info/LICENSE*")))
    colorama = first_text("colorama", sorted(windows.site.glob("colorama-*.dist-info/**/LICENSE*")))
    found = {
        "mingw-w64": Component(name="mingw-w64", version="as in zig", licence="ZPL-2.1", text=mingw),
        "panda3d": Component(name="panda3d build of CPython", version="1.10", licence="BSD-3-Clause", text=panda),
        "colorama": Component(name="colorama", version="0.4", licence="BSD-3-Clause", text=colorama),
        "zlib": _stated("zlib", "Zlib"),
    }
    for path in sorted((tree / "_internal").glob("*.dll")) + sorted((tree / "_internal").glob("*.pyd")):
        name = path.name.lower()
        if name in LIBRARIES:
            found[LIBRARIES[name][0]] = _stated(*LIBRARIES[name])
        elif path.stem not in EXTENSIONS_OF_PYTHON and not name.startswith(OURS):
            raise BuildError(f"{path.name}: is in the runtime and its licence is not listed in {__name__}")
    return list(found.values())


def _stated(name: str, licence: str) -> Component:
    text = f"{name}, licence {licence}, as part of CPython for Windows; see https://docs.python.org/3/license.html\n"
    return Component(name=name, version="as in CPython", licence=licence, text=text)
