"""NVIDIA's compiler for CUDA, fetched from PyPI by the hashes in ``packer/locks/cuda.txt``, as a toolkit for CMake.

Nothing of it is installed, and a toolkit of the system, if there is one, is not used. The wheels share one folder,
``nvidia/cu13``; it lacks a link that programs expect. cuBLAS, the largest part of a usual toolkit, is not in it.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import BuildError, InputError
from packer.toolchain import process
from packer.toolchain.build_cache import digest_of, file_sha256
from packer.toolchain.environment import LOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from packer.toolchain.build_cache import BuildCache
    from packer.toolchain.environment import BuildEnvironment

CUDA_LOCK = LOCKS / "cuda.txt"
RECIPE = 1
FOLDER = "nvidia/cu13"
PROGRAMS = ("bin/nvcc", "bin/cudafe++", "bin/fatbinary", "bin/nvlink", "bin/ptxas", "nvvm/bin/cicc")
NEEDED = (*PROGRAMS, "include/cuda_runtime.h", "include/crt/host_config.h", "include/cccl/cub/cub.cuh",
          "lib/libcudart_static.a", "lib/libcudadevrt.a")  # fmt: skip
ARCHITECTURE = re.compile(r"(\d{2,3})([af]?)(-real|-virtual)?", re.ASCII)
COMPUTE_CAPABILITIES = (75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121)
"""What this version of the compiler makes code for, times ten: Turing is the oldest."""

FIRST_SPECIFIC, FIRST_FAMILY = 90, 100


@dataclass(frozen=True, kw_only=True)
class CudaToolkit:
    """The toolkit at ``root``; the licences of its parts stand in ``licences``."""

    root: Path
    licences: Path

    @property
    def nvcc(self) -> Path:
        """The compiler."""
        return self.root / "bin" / "nvcc"

    @property
    def static_runtime(self) -> Path:
        """The CUDA runtime as it is linked into the library; it opens the driver by itself when first used."""
        return self.root / "lib" / "libcudart_static.a"


def cuda_toolkit(cache: BuildCache, environment: BuildEnvironment, note: Callable[[str], None]) -> CudaToolkit:
    """Return the toolkit; fetches it when it is missing (105 MB). Raises BuildError."""

    def build(work: Path) -> None:
        note("fetching NVIDIA's CUDA compiler from PyPI (105 MB)")
        pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-compile"]
        process.run(
            [environment.python, *pip, "--only-binary=:all:", "--require-hashes", "-r", CUDA_LOCK, "-t", work / "site"],
            env=process.clean_environment(),
        )
        arrange_toolkit(work / "site", work)
        shutil.rmtree(work / "site")

    entry = cache.get_or_build("cuda-toolkit", toolkit_digest(), build)
    return CudaToolkit(root=entry / "toolkit", licences=entry / "licences")


def toolkit_digest() -> str:
    """What decides the content of the toolkit."""
    return digest_of([RECIPE, file_sha256(CUDA_LOCK)])


def arrange_toolkit(site: Path, destination: Path) -> None:
    """Make ``toolkit`` and ``licences`` in ``destination`` of the wheels unpacked in ``site``. Raises BuildError."""
    missing = [name for name in NEEDED if not (site / FOLDER / name).is_file()]
    if missing:
        raise BuildError(f"{CUDA_LOCK.name}: the packages lack {', '.join(missing)}; they differ from those expected")
    toolkit = destination / "toolkit"
    shutil.move(site / FOLDER, toolkit)
    (toolkit / "lib64").symlink_to("lib")
    for name in PROGRAMS:
        (toolkit / name).chmod(0o755)
    licences = destination / "licences"
    licences.mkdir()
    for text in sorted(site.glob("*.dist-info/licenses/*")):
        name = text.parent.parent.name.removesuffix(".dist-info")
        shutil.copyfile(text, licences / f"{name}.txt")


def parse_architectures(text: str) -> tuple[str, ...]:
    """Return the GPU architectures that ``text`` names, as CMake writes them, sorted. Raises InputError.

    ``80-real`` is code that cards of compute capability 8.0 and later 8.x run at once, ``80-virtual`` what any later
    card's driver compiles at first use, ``80`` both.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        found = ARCHITECTURE.fullmatch(name)
        number = int(found[1]) if found else 0
        least = {"": 0, "a": FIRST_SPECIFIC, "f": FIRST_FAMILY}[found[2]] if found else 0
        if number not in COMPUTE_CAPABILITIES or number < least:
            known = ", ".join(map(str, COMPUTE_CAPABILITIES))
            raise InputError(
                f"CUDA architecture {name!r}: expected one of {known}, alone or with -real or -virtual behind it, "
                "such as 80-virtual"
            )
    virtual = max((_number(name) for name in names if not name.endswith("-real")), default=0)
    real = max((_number(name) for name in names if not name.endswith("-virtual")), default=0)
    if 0 < virtual < real:
        raise InputError(
            f"CUDA architectures {text}: later cards would compile {virtual}-virtual and expect what {real} "
            f"can do; add {real}-virtual, or leave out all virtual ones"
        )
    return tuple(sorted(names, key=lambda name: (_number(name), name)))


def _number(name: str) -> int:
    return int(re.sub("[^0-9].*", "", name))


def code_flags(architectures: Sequence[str]) -> list[str]:
    """The compiler's options for ``architectures``."""
    flags = []
    for name in architectures:
        number, _, form = name.partition("-")
        codes = {"real": [f"sm_{number}"], "virtual": [f"compute_{number}"]}
        for code in codes.get(form, [*codes["virtual"], *codes["real"]]):
            flags += ["-gencode", f"arch=compute_{number},code={code}"]
    return flags
