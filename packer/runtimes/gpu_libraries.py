"""How the library of each GPU backend is built, and what it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.programs import WINDOWS
from packer.runtimes.component import Component, first_text
from packer.runtimes.licences import system_text
from packer.toolchain.cuda.architectures import chosen_architectures
from packer.toolchain.cuda.linux import linux_backend
from packer.toolchain.cuda.toolkit import cuda_toolkit
from packer.toolchain.cuda.windows import windows_backend
from packer.toolchain.debian import debian_packages
from packer.toolchain.vulkan import vulkan_backend

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.toolchain.llama_cpp import BuildTools


@dataclass(frozen=True, kw_only=True)
class GpuLibrary:
    """``build`` makes the library for a target; ``components`` are what it has beside what every runtime has.

    One that ``takes_long`` is never built in passing.
    """

    build: Callable[[BuildTools, str, Callable[[str], None]], Path]
    components: Callable[[BuildTools, str], list[Component]]
    takes_long: bool = False


def _build_cuda(tools: BuildTools, target: str, note: Callable[[str], None]) -> Path:
    make = windows_backend if target == WINDOWS else linux_backend
    return make(tools, note, chosen_architectures(tools.cache, target))


def _vulkan_components(tools: BuildTools, _target: str) -> list[Component]:
    documents = debian_packages(tools.cache, lambda _text: None) / "usr" / "share" / "doc"
    return [
        Component(
            name="Vulkan headers",
            version="1.4.309",
            licence="Apache-2.0",
            text=first_text("Vulkan headers", [documents / "libvulkan-dev" / "copyright"]),
        ),
        Component(
            name="SPIR-V headers",
            version="1.4.309",
            licence="MIT",
            text=first_text("SPIR-V headers", [documents / "spirv-headers" / "copyright"]),
        ),
    ]


def _cuda_components(tools: BuildTools, target: str) -> list[Component]:
    texts = cuda_toolkit(tools.cache, tools.environment, lambda _text: None).licences
    licences = {
        "nvidia_cuda_runtime": ("CUDA runtime", "LicenseRef-NVIDIA-CUDA-EULA"),
        "nvidia_cuda_cccl": ("CUDA C++ Core Libraries", "Apache-2.0 WITH LLVM-exception"),
    }
    found = []
    for package, (name, licence) in licences.items():
        path = next(iter(texts.glob(f"{package}-*.txt")), None)
        if path is None:
            raise BuildError(f"{name}: its package carries no licence text")
        version = path.stem.rpartition("-")[2]
        found.append(Component(name=name, version=version, licence=licence, text=first_text(name, [path])))
    if target == WINDOWS:
        return found
    name, licence = "GNU C++ library", "GPL-3.0-or-later WITH GCC-exception-3.1"
    text = system_text("libstdc++", name, licence)
    return [*found, Component(name=name, version="as in the build system", licence=licence, text=text)]


GPU_LIBRARIES = {
    "vulkan": GpuLibrary(build=vulkan_backend, components=_vulkan_components),
    "cuda": GpuLibrary(build=_build_cuda, components=_cuda_components, takes_long=True),
}
