"""Loads llama.cpp's shared libraries once, chooses the CPU variant and describes it.

Load order matters. The libraries ask for each other by soname (``libggml.so.0``), but stand in ``llama_cpp/lib`` as
``libggml.so``; one that is already loaded satisfies a soname wherever it came from. So ``libggml-base`` and ``libggml``
are loaded first, by path; neither RPATH nor ``LD_LIBRARY_PATH`` nor suffixed copies are needed, and every user of
ggml gets the same file (two copies would each have a backend registry of their own, one of them empty).
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packer.errors import MachineError
from runtime.llama import native
from runtime.llama.log import LogCollector

_LOG = logging.getLogger(__name__)

PACKAGE = "llama_cpp"
FOREIGN_SETTINGS = ("LLAMA_CPP_LIB_PATH", "GGML_BACKEND_PATH")
FEATURES_SHOWN = (
    "AMX_INT8",
    "AVX512_BF16",
    "AVX512_VNNI",
    "AVX512_VBMI",
    "AVX512",
    "AVX_VNNI",
    "AVX2",
    "FMA",
    "F16C",
    "AVX",
    "SSE3",
    "NEON",
    "ARM_FMA",
    "DOTPROD",
    "MATMUL_INT8",
    "SVE",
)


class _Feature(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("value", ctypes.c_char_p))


@dataclass(frozen=True, kw_only=True)
class CpuVariant:
    """The CPU backend that ggml chose: its name and the instruction sets it was built for."""

    name: str
    features: tuple[str, ...]

    def __str__(self) -> str:
        """Return for example ``haswell (AVX2, FMA, F16C)``."""
        return f"{self.name} ({', '.join(self.features)})" if self.features else self.name


@dataclass(frozen=True, kw_only=True)
class Library:
    """The loaded binding: ``api`` is ``llama_cpp.llama_cpp``; ``base`` and ``ggml`` are raw handles."""

    api: Any
    ggml: ctypes.CDLL
    base: ctypes.CDLL
    libc: ctypes.CDLL
    log: LogCollector
    log_callback: Any

    def silence(self) -> None:
        """Detach the log callback from Python; call last, since ggml may log while the process ends.

        NULL would restore printing to stderr, so a C function that ignores its surplus arguments is installed:
        ``int abs(int)``.
        """
        address = ctypes.cast(self.libc.abs, ctypes.c_void_p).value
        self.api.llama_log_set(self.api.llama_log_callback(address), None)


def load_library() -> Library:
    """Load the libraries and their backends. Raises MachineError naming the file that can't be loaded."""
    for name in FOREIGN_SETTINGS:
        if os.environ.pop(name, None) is not None:
            _LOG.warning("%s is ignored: this program brings its own libraries", name)
    directory = library_directory()
    base = _load(directory / native.library_name("ggml-base"))
    ggml = _load(directory / native.library_name("ggml"))
    try:
        with native.binding_import():
            api = importlib.import_module(f"{PACKAGE}.llama_cpp")
    except (OSError, RuntimeError) as error:
        raise MachineError(f"{directory}: llama.cpp's libraries can't be loaded ({error})") from error
    log = LogCollector()
    callback = api.llama_log_callback(lambda level, text, _data: log.receive(level, text))
    api.llama_log_set(callback, None)
    library = Library(api=api, ggml=ggml, base=base, libc=native.c_library(), log=log, log_callback=callback)
    _load_backends(library, directory)
    return library


def library_directory() -> Path:
    """Return the folder with the native libraries, without importing them."""
    spec = importlib.util.find_spec(PACKAGE)
    locations = list(spec.submodule_search_locations or []) if spec else []
    if not locations:
        raise MachineError("the llama_cpp package is missing from this program; its unpacked copy is incomplete")
    return Path(locations[0]) / "lib"


def _load(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise MachineError(f"{path}: can't be loaded ({error}); delete the unpacked copy and start again") from error


def _load_backends(library: Library, directory: Path) -> None:
    """Let ggml load the best variant of each backend in ``directory``."""
    load_all = library.ggml.ggml_backend_load_all_from_path
    load_all.argtypes, load_all.restype = [ctypes.c_char_p], None
    load_all(os.fsencode(directory))
    count = library.ggml.ggml_backend_reg_count
    count.argtypes, count.restype = [], ctypes.c_size_t
    if count() == 0:
        raise MachineError(f"{directory}: no CPU backend runs on this processor{library.log.explain()}")
    library.api.llama_backend_init()


def describe_cpu_variant(library: Library) -> CpuVariant:
    """Name the CPU backend in use, from the libraries in this process, and its instruction sets."""
    return CpuVariant(name=native.loaded_variant(library_directory()) or "generic", features=_cpu_features(library))


def _cpu_features(library: Library) -> tuple[str, ...]:
    """Ask the CPU backend for its feature flags (ggml-backend.h, ``ggml_backend_get_features_t``)."""
    ggml, base = library.ggml, library.base
    by_name = ggml.ggml_backend_reg_by_name
    by_name.argtypes, by_name.restype = [ctypes.c_char_p], ctypes.c_void_p
    get_address = base.ggml_backend_reg_get_proc_address
    get_address.argtypes, get_address.restype = [ctypes.c_void_p, ctypes.c_char_p], ctypes.c_void_p
    registry = by_name(b"CPU")
    address = get_address(registry, b"ggml_backend_get_features") if registry else None
    if not address:
        return ()
    features = ctypes.CFUNCTYPE(ctypes.POINTER(_Feature), ctypes.c_void_p)(address)(registry)
    names = set()
    index = 0
    while features and features[index].name:
        if features[index].value == b"1":
            names.add(features[index].name.decode())
        index += 1
    return tuple(name for name in FEATURES_SHOWN if name in names)
