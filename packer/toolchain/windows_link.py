"""Links a DLL with zig and mends its import library; stands before the compiler when llama.cpp is built for Windows.

The import libraries that zig's linker writes re-export the C runtime's ``atexit``, and whatever is linked against two
of them fails with "duplicate symbol: atexit". So each is written again from those exports of the DLL that are its own.
Run as a script: ``windows_link.py ZIG c++ ... -shared -o X.dll -Wl,--out-implib,X.dll.a``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pefile

OWN_EXPORT = re.compile(r"ggml|gguf|llama|mtmd|quantize")
OUT_IMPLIB = "-Wl,--out-implib,"


def main(command: list[str]) -> int:
    """Run the linker in ``command``, then rewrite the import library that it wrote."""
    linked = subprocess.run(command, check=False)
    library = next((one.removeprefix(OUT_IMPLIB) for one in command if one.startswith(OUT_IMPLIB)), None)
    if linked.returncode != 0 or library is None:
        return linked.returncode
    return write_import_library(command[0], Path(command[command.index("-o") + 1]), Path(library))


def write_import_library(zig: str, dll: Path, library: Path) -> int:
    """Write ``library`` from the exports of ``dll`` that are its own; return zig's exit code."""
    names = [name for name in exported_names(dll) if OWN_EXPORT.search(name)]
    definitions = library.with_suffix(".def")
    definitions.write_text(f"LIBRARY {dll.name}\nEXPORTS\n" + "".join(f"  {name}\n" for name in names), "utf-8")
    arguments = ["-m", "i386:x86-64", "-d", str(definitions), "-D", dll.name, "-l", str(library)]
    return subprocess.run([zig, "dlltool", *arguments], check=False).returncode


def exported_names(dll: Path) -> list[str]:
    """Names that a DLL exports."""
    with pefile.PE(str(dll), fast_load=True) as image:
        image.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_EXPORT"]])
        return [symbol.name.decode() for symbol in image.DIRECTORY_ENTRY_EXPORT.symbols if symbol.name]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
