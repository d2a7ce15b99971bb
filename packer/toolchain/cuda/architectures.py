"""The GPU architectures that the CUDA backend has code for: how they are named, chosen and remembered."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from packer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from packer.toolchain.build_cache import BuildCache

ARCHITECTURE = re.compile(r"(\d{2,3})([af]?)(-real|-virtual)?", re.ASCII)
COMPUTE_CAPABILITIES = (75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121)
"""What this version of the compiler makes code for, times ten: Turing is the oldest."""

FIRST_SPECIFIC, FIRST_FAMILY = 90, 100

DEFAULT_ARCHITECTURES = ("75-real", "80-real", "90-virtual", "120f-real")
"""Turing; Ampere and Ada; what the drivers of Hopper and of cards to come compile at first use; Blackwell."""

CHOICE_FILE = "cuda-architectures-{target}.txt"


def parse_architectures(text: str) -> tuple[str, ...]:
    """Return the GPU architectures that ``text`` names, as CMake writes them, sorted. Raises InputError.

    ``80-real`` is code that cards of compute capability 8.0 and later 8.x run at once, ``80-virtual`` what any later
    card's driver compiles at first use, ``80`` both. Real code for a family (``120f-real``) may be newer than the
    newest virtual: it serves all cards of its generation, and later ones expect no more than the virtual code has.
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
    of_families = re.compile(r"\d+f-real")
    others = [name for name in names if not name.endswith("-virtual") and not of_families.fullmatch(name)]
    real = max(map(_number, others), default=0)
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


@contextlib.contextmanager
def choosing_architectures(cache: BuildCache, target: str, architectures: Sequence[str]) -> Iterator[None]:
    """Build for ``architectures`` and remember them for ``target``, and so which build counts as the one at hand.

    When the build fails, the one that was at hand before still is.
    """
    path = cache.root / CHOICE_FILE.format(target=target)
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    _write_whole(path, ",".join(architectures) + "\n")
    try:
        yield
    except BaseException:
        if before is None:
            path.unlink()
        else:
            _write_whole(path, before)
        raise


def _write_whole(path: Path, text: str) -> None:
    """Write a file anew, or leave it as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".new")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def chosen_architectures(cache: BuildCache, target: str) -> tuple[str, ...]:
    """Return what was chosen when the backend was last built for ``target``, the default where it never was."""
    try:
        return parse_architectures((cache.root / CHOICE_FILE.format(target=target)).read_text(encoding="utf-8").strip())
    except (OSError, ValueError, InputError):
        return DEFAULT_ARCHITECTURES


def architecture_list(architectures: Sequence[str]) -> str:
    """What NVIDIA's compiler defines ``__CUDA_ARCH_LIST__`` as, for the host to choose kernels by."""
    return ",".join(str(number * 10) for number in sorted({_number(name) for name in architectures}))
