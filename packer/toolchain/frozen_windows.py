"""Freezes the runtime for Windows on Linux: PyInstaller's analysis here, its bootloader and CPython from wheels.

The result is what PyInstaller makes on Windows: ``chat.exe``, which is the official bootloader with an archive of
Python modules at its end, and ``_internal`` with the interpreter's DLL, compiled modules and data.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pefile

from packer.errors import BuildError
from packer.toolchain import frozen, process, windows_spec
from packer.toolchain.build_cache import digest_of, digest_of_files, file_sha256
from packer.toolchain.environment import ENVIRONMENT_LOCK, python_identity
from packer.toolchain.windows_python import BOOTLOADER, WINDOWS_LOCK, WindowsPython

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.toolchain.frozen import FrozenInputs

RECIPE = 1
EXTRA_PACKAGES = ("colorama",)
SPEC_END = """
import sys
from pathlib import Path
sys.path.insert(0, {toolchain!r})
from windows_spec import write_parts
write_parts(a, pyz, Path({parts!r}), Path({libraries!r}))
"""


def frozen_windows_runtime(inputs: FrozenInputs, python: WindowsPython, note: Callable[[str], None]) -> Path:
    """Return the directory tree that the Windows launcher unpacks; freezes it when missing (about half a minute)."""
    toolchain = frozen.CHECKOUT / "packer" / "toolchain"
    recipe = [toolchain / name for name in ("frozen.py", "frozen_windows.py", "windows_python.py", "windows_spec.py")]
    locks = [file_sha256(ENVIRONMENT_LOCK), file_sha256(WINDOWS_LOCK)]
    sources = digest_of_files(frozen.CHECKOUT, frozen.frozen_files() + recipe)
    digest = digest_of([RECIPE, inputs.native, python_identity(), locks, sources])

    def build(work: Path) -> None:
        note("freezing the Python runtime for Windows")
        stage, parts = work / "stage", work / "parts"
        frozen.stage_packages(stage, inputs.tools)
        for package in EXTRA_PACKAGES:
            shutil.copytree(python.site / package, stage / package)
        parts.mkdir()
        _analyse(inputs, python, stage, work)
        _assemble(inputs, python, parts, work / "tree")
        for extra in (stage, parts, work / "pyinstaller"):
            shutil.rmtree(extra)

    return inputs.tools.cache.get_or_build("frozen-windows", digest, build) / "tree"


def _analyse(inputs: FrozenInputs, python: WindowsPython, stage: Path, work: Path) -> None:
    """Have PyInstaller follow the imports: its own spec file for the same options, with an end of ours."""
    scratch = work / "pyinstaller"
    interpreter = inputs.tools.environment.python
    excluded = [f"--exclude-module={name}" for name in EXTRA_PACKAGES]
    options = [one for one in frozen.analysis_options(stage) if one not in excluded]
    options += [f"--hidden-import={name}" for name in EXTRA_PACKAGES]
    environment = process.clean_environment(PYTHONPATH=str(stage), PYINSTALLER_CONFIG_DIR=str(scratch / "config"))
    make_spec: list[str | Path] = [
        interpreter,
        "-m",
        "PyInstaller.utils.cliutils.makespec",
        *options,
        "--specpath",
        scratch,
    ]
    process.run([*make_spec, stage / "chat.py"], env=environment)
    spec = scratch / "chat.spec"
    beginning, separator, _ = spec.read_text(encoding="utf-8").partition("exe = EXE(")
    if not separator:
        raise BuildError(f"{spec}: PyInstaller writes its spec files differently now; the recipe needs an update")
    end = SPEC_END.format(
        toolchain=str(frozen.CHECKOUT / "packer" / "toolchain"),
        parts=str(work / "parts"),
        libraries=str(python.libraries),
    )
    spec.write_text(beginning + end, encoding="utf-8")
    places: list[str | Path] = ["--distpath", scratch / "dist", "--workpath", scratch / "work", "--log-level", "WARN"]
    process.run([interpreter, "-m", "PyInstaller", "--noconfirm", "--clean", *places, spec], env=environment)


def _assemble(inputs: FrozenInputs, python: WindowsPython, parts: Path, tree: Path) -> None:
    """Put the program together from the bootloader, the archive, and what ``parts.json`` lists."""
    listed = json.loads((parts / "parts.json").read_text(encoding="utf-8"))
    contents = tree / windows_spec.CONTENTS
    contents.mkdir(parents=True)
    binaries = [python.libraries / name for name in listed["standard"]]
    for name in listed["packages"]:
        found = sorted(python.site.glob(f"{name}.*.pyd"))
        if len(found) != 1:
            raise BuildError(f"{name}: {WINDOWS_LOCK.name} has {len(found)} compiled modules for it, expected one")
        _copy(found[0], contents / found[0].relative_to(python.site))
        binaries.append(found[0])
    for path in [*binaries[: len(listed["standard"])], *python.needed_libraries([*binaries, python.python_dll])]:
        _copy(path, contents / path.name)
    _copy(python.python_dll, contents / python.python_dll.name)
    for target, source in listed["data"]:
        _copy(source, contents / target)
    inputs.copy_libraries(contents / "llama_cpp" / "lib")
    _write_program(python.site / BOOTLOADER, parts / "chat.pkg", tree / "chat.exe")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o644)


def _write_program(bootloader: Path, archive: Path, program: Path) -> None:
    """Append the archive to the bootloader, and correct the checksum in its header as virus scanners expect."""
    program.write_bytes(bootloader.read_bytes() + archive.read_bytes())
    with pefile.PE(str(program), fast_load=True) as image:
        image.OPTIONAL_HEADER.CheckSum = image.generate_checksum()
        content = image.write()
    program.write_bytes(bytes(content))
    program.chmod(0o755)
