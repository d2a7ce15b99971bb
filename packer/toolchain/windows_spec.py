"""Runs inside PyInstaller, in place of the end of a spec file: writes what a Windows program is put together from.

PyInstaller's analysis follows imports, which it can do on Linux for Windows as well: the modules are the same, but for
compiled ones. ``write_parts`` leaves two files in a directory: ``chat.pkg``, the archive that the bootloader reads
from its own end, and ``parts.json``, which says which compiled modules and data files the program needs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CONTENTS = "_internal"
ABSENT_NODES = {"MissingModule", "ExcludedModule", "InvalidSourceModule"}


def write_parts(analysis: Any, pyz: Any, directory: Path, libraries: Path) -> None:
    """Write both files. ``analysis`` and ``pyz`` are PyInstaller's; ``libraries`` holds CPython's ``.pyd`` files."""
    from PyInstaller.building.api import PKG
    from PyInstaller.building.utils import compile_pymodule

    loader = Path(sys.modules["PyInstaller"].__path__[0]) / "loader"
    # On Windows the bootloader's first script imports this module, which the analysis on Linux leaves out.
    name = "pyimod04_pywin32"
    compiled = compile_pymodule(name, str(loader / f"{name}.py"), str(directory / "compiled"), optimize=0)
    modules = [entry for entry in pyz.dependencies if entry[2] in {"PYMODULE", "PYSOURCE"}]
    scripts = [entry for entry in modules if entry[2] == "PYSOURCE"]
    first = [entry for entry in modules if entry[2] == "PYMODULE"] + [(name, compiled, "PYMODULE")]
    options = [(f"pyi-contents-directory {CONTENTS}", "", "OPTION")]
    PKG(
        [*options, (pyz.name, pyz.name, "PYZ"), *first, *scripts, *analysis.scripts],
        python_lib_name=f"python{sys.version_info.major}{sys.version_info.minor}.dll",
        name=str(directory / "chat.pkg"),
        exclude_binaries=True,
    )
    parts = {
        "data": [[target, source] for target, source, _ in analysis.datas],
        "packages": sorted(_package_extensions(analysis)),
        "standard": sorted(path.name for path in libraries.glob("*.pyd") if _is_needed(analysis, path.stem)),
    }
    (directory / "parts.json").write_text(json.dumps(parts, indent=1), encoding="utf-8")


def _is_needed(analysis: Any, module: str) -> bool:
    """Whether the analysis met the compiled module of the standard library and found it on this system."""
    node = analysis.graph.find_node(module)
    return node is not None and type(node).__name__ not in ABSENT_NODES


def _package_extensions(analysis: Any) -> set[str]:
    """Compiled modules of installed packages, as paths without an ending: ``zstandard/backend_c``."""
    found = set()
    for target, source, kind in analysis.binaries:
        if kind == "EXTENSION" and "site-packages" in Path(source).parts:
            found.add(target.split(".")[0])
    return found
