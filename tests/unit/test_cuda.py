"""Building the CUDA backend: what is refused, how the toolkit is arranged, and which options choose what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from packer.errors import BuildError, InputError
from packer.programs import LINUX, WINDOWS
from packer.toolchain.build_cache import BuildCache
from packer.toolchain.cuda import architectures
from packer.toolchain.cuda.architectures import (
    DEFAULT_ARCHITECTURES,
    architecture_list,
    choosing_architectures,
    chosen_architectures,
    code_flags,
    parse_architectures,
)
from packer.toolchain.cuda.linux import host_compiler
from packer.toolchain.cuda.toolkit import CUDA_LOCK, NEEDED, arrange_toolkit
from tests.support import program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "architectures"),
    [
        ("80-virtual", ("80-virtual",)),
        (" 90-virtual , 75-real,75-real", ("75-real", "90-virtual")),
        ("120a,90-real", ("90-real", "120a")),
        ("100f-virtual,89-real", ("89-real", "100f-virtual")),
        ("86-real,80-real", ("80-real", "86-real")),
    ],
)
def test_architectures_are_read_and_sorted(text: str, architectures: tuple[str, ...]) -> None:
    assert parse_architectures(text) == architectures


def test_the_default_is_valid_and_has_something_for_cards_to_come() -> None:
    assert parse_architectures(",".join(DEFAULT_ARCHITECTURES)) == DEFAULT_ARCHITECTURES
    assert any(name.endswith("-virtual") for name in DEFAULT_ARCHITECTURES)


@pytest.mark.parametrize(
    "text", ["", "80-virtual,", "61", "sm_80", "80-fast", "80a", "90f", "native", "8\u0660", "80;90"]
)
def test_other_architectures_get_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match="expected one of 75, 80, ") as caught:
        parse_architectures(text)
    assert "\n" not in str(caught.value)


def test_later_cards_must_not_get_code_that_promises_less() -> None:
    with pytest.raises(InputError, match="add 80-virtual, or leave out all virtual ones"):
        parse_architectures("75-virtual,80-real")
    with pytest.raises(InputError, match="add 120-virtual"):
        parse_architectures("120a-real,90")
    assert parse_architectures("75-real,80") == ("75-real", "80")
    assert parse_architectures("120f-real,90-virtual") == ("90-virtual", "120f-real")


def test_the_compiler_is_told_the_forms_of_code() -> None:
    assert code_flags(("75-real", "80", "90a-virtual")) == [
        *("-gencode", "arch=compute_75,code=sm_75"),
        *("-gencode", "arch=compute_80,code=compute_80", "-gencode", "arch=compute_80,code=sm_80"),
        *("-gencode", "arch=compute_90a,code=compute_90a"),
    ]


def test_the_host_is_told_what_there_is_code_for() -> None:
    assert architecture_list(("75-real", "80", "80-virtual", "90a-virtual", "120f-real")) == "750,800,900,1200"


def unpacked_wheels(site: Path, *, without: str = "") -> Path:
    """What the packages put into the folder that they share, each file empty."""
    for name in NEEDED:
        path = site / "nvidia" / "cu13" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name != without:
            path.touch(mode=0o644)
    licence = site / "nvidia_cuda_runtime-13.0.96.dist-info" / "licenses" / "License.txt"
    licence.parent.mkdir(parents=True)
    licence.write_text("the licence")
    return site


def test_the_packages_become_a_toolkit(tmp_path: Path) -> None:
    arrange_toolkit(unpacked_wheels(tmp_path / "site"), tmp_path)
    assert (tmp_path / "toolkit" / "lib64" / "libcudart_static.a").is_file()
    assert (tmp_path / "toolkit" / "bin" / "nvcc").stat().st_mode & 0o111
    assert (tmp_path / "toolkit" / "nvvm" / "bin" / "cicc").stat().st_mode & 0o111
    assert (tmp_path / "licences" / "nvidia_cuda_runtime-13.0.96.txt").read_text() == "the licence"


def test_packages_that_differ_from_those_expected_are_refused(tmp_path: Path) -> None:
    site = unpacked_wheels(tmp_path / "site", without="nvvm/bin/cicc")
    with pytest.raises(BuildError, match=r"cuda\.txt: the packages lack nvvm/bin/cicc"):
        arrange_toolkit(site, tmp_path)
    assert not (tmp_path / "toolkit").exists()


def test_the_lock_pins_every_package_by_hash_and_has_no_cublas() -> None:
    text = CUDA_LOCK.read_text(encoding="ascii")
    names = re.findall(r"^([a-z0-9-]+)==13\.0\.", text, re.MULTILINE)
    assert sorted(names) == [
        f"nvidia-{name}" for name in ("cuda-cccl", "cuda-crt", "cuda-nvcc", "cuda-runtime", "nvvm")
    ]
    assert len(re.split(r"\n(?=\S)", text.strip())) == len(names)
    assert all("--hash=sha256:" in part for part in re.split(r"\n(?=\S)", text.strip()))


def test_the_choice_of_architectures_is_remembered(tmp_path: Path) -> None:
    cache = BuildCache(root=tmp_path / "builds")
    assert chosen_architectures(cache, LINUX) == DEFAULT_ARCHITECTURES
    with pytest.raises(BuildError), choosing_architectures(cache, LINUX, ("75-virtual",)):
        raise BuildError("out of space")
    assert chosen_architectures(cache, LINUX) == DEFAULT_ARCHITECTURES
    with choosing_architectures(cache, LINUX, ("80-virtual",)):
        assert chosen_architectures(cache, LINUX) == ("80-virtual",)
    with pytest.raises(KeyboardInterrupt), choosing_architectures(cache, LINUX, ("75-virtual",)):
        raise KeyboardInterrupt
    assert chosen_architectures(cache, LINUX) == ("80-virtual",)
    assert chosen_architectures(cache, WINDOWS) == DEFAULT_ARCHITECTURES
    (cache.root / architectures.CHOICE_FILE.format(target=LINUX)).write_text("rubbish")
    assert chosen_architectures(cache, LINUX) == DEFAULT_ARCHITECTURES


def test_without_a_compiler_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"needs the system's g\+\+, which was not found; install it") as caught:
        host_compiler()
    assert "\n" not in str(caught.value)


def test_a_compiler_that_is_too_new_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("gcc", "g++"):
        (tmp_path / name).write_text("#!/bin/sh\necho 99.1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(BuildError, match=r"needs g\+\+ 9 to 15, and .*/g\+\+ is version 99\.1"):
        host_compiler()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--gpu", "cuda", "--cuda-architectures", "52"), 3, "CUDA architecture '52': expected one of 75, "),
        (("--gpu", "vulkan", "--cuda-architectures", "80"), 2, "--cuda-architectures: only with --gpu cuda"),
        (("--cuda-architectures", "80"), 2, "--cuda-architectures: only with --gpu cuda"),
        (("--gpu", "metal"), 2, "Metal, the GPU interface of macOS, can only be built on a Mac"),
    ],
)
def test_what_can_not_be_built_is_refused_at_once(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """Nothing is fetched and nothing compiled: the cache stays empty."""
    places = {"PACKER_RUNTIMES_DIR": str(tmp_path / "added"), "PACKER_BUILD_CACHE_DIR": str(tmp_path / "cache")}
    done = program.packer("runtimes", "build", *arguments, **places)
    assert done.returncode == code
    assert words in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.rglob("*"))
