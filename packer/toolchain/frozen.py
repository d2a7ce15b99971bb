"""Freezes the runtime with PyInstaller as a directory and puts everything beside it that it needs to start.

The binding's high-level modules import numpy and diskcache, which the runtime does without: only the modules named in
``BINDING_MODULES`` are staged, under a package whose ``__init__`` is empty. The native libraries are copied in after
PyInstaller has run, so that it neither renames nor duplicates them. In the same way prometheus_client is staged without
the servers that it brings, which would pull in OpenSSL, and charset_normalizer without its compiled doubles.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packer.toolchain import c_library, process, python_library, web_libraries
from packer.toolchain.build_cache import digest_of, digest_of_files, file_sha256
from packer.toolchain.environment import ENVIRONMENT_LOCK, python_identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from packer.toolchain.llama_cpp import BuildTools

RECIPE = 1
CHECKOUT = Path(__file__).parent.parent.parent
FROZEN_PACKAGES = ("runtime", "web_ui", "packer/container")
FROZEN_FILES = ("packer/__init__.py", "packer/errors.py", "packer/standard_output.py")
BINDING_MODULES = ("_ctypes_extensions.py", "_ggml.py", "llama_cpp.py", "mtmd_cpp.py")
METRICS_MODULES = (
    "metrics_core.py",
    "openmetrics/exposition.py",
    "registry.py",
    "samples.py",
    "utils.py",
    "validation.py",
)
CHARSET_MODULES = ("api.py", "cd.py", "constant.py", "md.py", "models.py", "utils.py")
EXCLUDED_MODULES = (
    "numpy", "tkinter", "unittest", "pydoc", "pydoc_data", "doctest", "test", "distutils", "setuptools", "pip",
    "ssl", "_ssl", "curses", "readline", "ensurepip", "venv", "lib2to3", "idlelib", "cffi", "pycparser",
    "_testcapi", "xmlrpc", "dbm", "ftplib", "imaplib", "smtplib", "poplib", "nntplib", "telnetlib", "isal",
    "_cffi_backend", "zstandard.backend_cffi", "multiprocessing", "watchdog", "cryptography", "dotenv", "asgiref",
    "colorama", "packaging", "PIL",
)  # fmt: skip
HIDDEN_IMPORTS = ("zstandard.backend_c", "llama_cpp.llama_cpp", "llama_cpp._ggml")


@dataclass(frozen=True, kw_only=True)
class FrozenInputs:
    """What goes into a frozen runtime besides the checkout's own packages."""

    tools: BuildTools
    libraries: Path
    chat_library: Path
    image_library: Path

    @property
    def native(self) -> list[str]:
        """What the native libraries were built from, as digests."""
        return [self.libraries.name, self.chat_library.parent.name, self.image_library.parent.name]

    def copy_libraries(self, directory: Path) -> None:
        """Put all native libraries into ``directory``, which may exist."""
        shutil.copytree(self.libraries, directory, dirs_exist_ok=True)
        for library in (self.chat_library, self.image_library):
            shutil.copy(library, directory)


def frozen_files() -> list[Path]:
    """The checkout's own files that get frozen, and those that say which libraries the page gets."""
    files = [CHECKOUT / name for name in FROZEN_FILES] + [web_libraries.WEB_LOCK, Path(web_libraries.__file__)]
    for package in FROZEN_PACKAGES:
        files += [path for path in (CHECKOUT / package).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return files


def frozen_digest(inputs: FrozenInputs) -> str:
    """Digest of everything that decides the content of the frozen runtime."""
    recipe = [Path(__file__), Path(c_library.__file__), Path(python_library.__file__)]
    return digest_of(
        [
            RECIPE,
            inputs.native,
            python_identity(),
            file_sha256(ENVIRONMENT_LOCK),
            digest_of_files(CHECKOUT, frozen_files() + recipe),
            c_library.identity(),
        ]
    )


def frozen_runtime(inputs: FrozenInputs, note: Callable[[str], None]) -> Path:
    """Return the directory tree that the launcher unpacks; freezes it when missing (about half a minute)."""

    def build(work: Path) -> None:
        note("freezing the Python runtime")
        stage = work / "stage"
        stage_packages(stage, inputs.tools)
        scratch = work / "pyinstaller"
        _run_pyinstaller(inputs, stage, scratch, work)
        tree = work / "tree"
        shutil.copytree(scratch / "dist" / "chat", tree, symlinks=False)
        inputs.copy_libraries(tree / "_internal" / "llama_cpp" / "lib")
        c_library.add_carried(tree)
        for extra in (stage, scratch):
            shutil.rmtree(extra)

    digest = frozen_digest(inputs)
    return inputs.tools.cache.get_or_build("frozen", digest, build) / "tree"


def stage_packages(stage: Path, tools: BuildTools) -> None:
    """Put everything of our own that gets frozen into ``stage``, and of the others only the modules we use."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in FROZEN_PACKAGES:
        shutil.copytree(CHECKOUT / package, stage / package, ignore=ignored)
    for name in FROZEN_FILES:
        shutil.copy(CHECKOUT / name, stage / name)
    _stage_modules(stage / "llama_cpp", tools.sources.llama_cpp_python / "llama_cpp", BINDING_MODULES)
    installed = tools.environment.site_packages
    _stage_modules(stage / "prometheus_client", installed / "prometheus_client", METRICS_MODULES)
    _stage_modules(stage / "charset_normalizer", installed / "charset_normalizer", CHARSET_MODULES)
    page_libraries = web_libraries.web_libraries(tools.cache) / "libraries"
    shutil.copytree(page_libraries, stage / "web_ui" / "static" / "libraries")
    (stage / "chat.py").write_text("from runtime.cli import main\n\nraise SystemExit(main())\n", encoding="utf-8")


def _stage_modules(package: Path, source: Path, modules: tuple[str, ...]) -> None:
    """Copy ``modules`` of the package at ``source`` into packages whose ``__init__`` modules are empty."""
    for name in modules:
        target = package / name
        target.parent.mkdir(parents=True, exist_ok=True)
        for directory in {package, target.parent}:
            (directory / "__init__.py").write_text('"""Only the modules that the program needs."""\n', encoding="utf-8")
        shutil.copy(source / name, target)


def analysis_options(stage: Path) -> list[str]:
    """PyInstaller's options that say what gets frozen from ``stage``, the same for every target."""
    options = ["--onedir", "--name", "chat", "--log-level", "WARN", "--paths", str(stage)]
    options += ["--add-data", f"{stage / 'web_ui' / 'static'}:web_ui/static"]
    if (stage / "web_ui" / "templates").is_dir():
        options += ["--add-data", f"{stage / 'web_ui' / 'templates'}:web_ui/templates"]
    options += [f"--collect-submodules={name}" for name in ("runtime", "web_ui", "packer.container")]
    options += [f"--hidden-import={name}" for name in HIDDEN_IMPORTS]
    options += [f"--exclude-module={name}" for name in EXCLUDED_MODULES]
    return options


def _run_pyinstaller(inputs: FrozenInputs, stage: Path, scratch: Path, work: Path) -> None:
    options = ["--noconfirm", "--clean", *analysis_options(stage), "--specpath", str(scratch)]
    options += ["--distpath", str(scratch / "dist"), "--workpath", str(scratch / "work")]
    if shutil.which("strip"):
        options.append("--strip")
    environment = process.clean_environment(PYTHONPATH=str(stage), PYINSTALLER_CONFIG_DIR=str(scratch / "config"))
    environment["PATH"] = f"{_write_binutils(scratch / 'binutils')}:{environment.get('PATH', '')}"
    library = python_library.find_or_fetch(work / "libpython")
    if library is not None:
        environment["LD_LIBRARY_PATH"] = str(library.parent)
    # The staged binding has no libraries beside it while PyInstaller looks at imports; it never executes them.
    process.run([inputs.tools.environment.python, "-m", "PyInstaller", *options, stage / "chat.py"], env=environment)
    shutil.rmtree(work / "libpython", ignore_errors=True)


def _write_binutils(directory: Path) -> Path:
    """Stand in for the two binutils programs that PyInstaller calls, so that a system without them can freeze.

    It asks ``objdump`` whether a file with an ELF signature is sound (they all are, they come from packages), and has
    ``objcopy`` put its archive into the bootloader; the bootloader searches its file from the end, so appending does.
    """
    directory.mkdir(parents=True)
    scripts = {"objdump": "exit 0", "objcopy": '[ "$1" = --add-section ] && cat "${2#*=}" >>"$3"'}
    for name, body in scripts.items():
        (directory / name).write_text(f"#!/bin/sh\n{body}\n", encoding="ascii")
        (directory / name).chmod(0o755)
    return directory


def python_version() -> str:
    """The version of the Python that gets frozen, such as ``3.11.7``."""
    return ".".join(str(part) for part in sys.version_info[:3])
