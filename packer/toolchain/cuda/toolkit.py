"""NVIDIA's compiler for CUDA, fetched from PyPI by the hashes in ``packer/locks/cuda.txt``, as a toolkit for CMake.

Nothing of it is installed, and a toolkit of the system, if there is one, is not used. The wheels share one folder,
``nvidia/cu13``; it lacks a link that programs expect. cuBLAS, the largest part of a usual toolkit, is not in it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.toolchain import process
from packer.toolchain.build_cache import digest_of, file_sha256
from packer.toolchain.environment import LOCKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.toolchain.build_cache import BuildCache
    from packer.toolchain.environment import BuildEnvironment

CUDA_LOCK = LOCKS / "cuda.txt"
RECIPE = 1
FOLDER = "nvidia/cu13"
PROGRAMS = ("bin/nvcc", "bin/cudafe++", "bin/fatbinary", "bin/nvlink", "bin/ptxas", "nvvm/bin/cicc")
NEEDED = (*PROGRAMS, "include/cuda_runtime.h", "include/crt/host_config.h", "include/cccl/cub/cub.cuh",
          "lib/libcudart_static.a", "lib/libcudadevrt.a")  # fmt: skip


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
