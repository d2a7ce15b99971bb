"""Models in a file of their own: over 4 GB for Windows, on request for any; found, checked, mapped."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from packer.programs import LINUX, WINDOWS
from tests.support import program
from tests.support.sparse_model import write_sparse_model
from tests.support.wine import WineLauncher

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.wine import Wine

ASKED = ("-p", "Hello", "--max-tokens", "8", "--temperature", "0")
SPARSE_LIMIT_BYTES = 100_000_000


@pytest.fixture(scope="module")
def large_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of more than 4.5 GB, all of it a hole but its headers."""
    path = tmp_path_factory.mktemp("large") / "large.gguf"
    assert write_sparse_model(path) > 4_500_000_000
    return path


def used_bytes(path: Path) -> int:
    """Bytes that a file takes on the disk."""
    return path.stat().st_blocks * 512


def test_linux_packs_it_as_one_file_and_loads_it(large_model: Path, runtime_cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "chat"
    done = program.packer("build", large_model, "-o", path, "--target", LINUX, "--json")
    assert done.returncode == 0, done.stderr
    assert [item.name for item in tmp_path.iterdir()] == ["chat"]
    assert path.stat().st_size > large_model.stat().st_size
    assert used_bytes(path) < SPARSE_LIMIT_BYTES
    with program.Launcher(path, runtime_cache).serving("--ctx-size", 256) as server:
        assert server.json("/v1/models")["data"][0]["id"]
    path.unlink()


def test_windows_gets_a_program_and_a_model(windows_runtime: None, large_model: Path, tmp_path: Path) -> None:
    done = program.packer("build", large_model, "-o", tmp_path / "chat.exe", "--target", WINDOWS)
    assert done.returncode == 0, done.stderr
    assert "Windows starts no program over 4 GB" in done.stdout
    assert "Keep chat.gguf beside chat.exe" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chat.exe", "chat.gguf"]
    assert (tmp_path / "chat.gguf").stat().st_size == large_model.stat().st_size
    assert used_bytes(tmp_path / "chat.gguf") < SPARSE_LIMIT_BYTES
    shown = program.packer("inspect", tmp_path / "chat.exe").stdout
    assert "chat.gguf beside it" in shown
    (tmp_path / "chat.gguf").unlink()


@pytest.fixture(scope="module")
def split(windows_runtime: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model beside its portable program, as ``--split-at`` makes it."""
    path = tmp_path_factory.mktemp("split") / "chat.exe"
    arguments = ("--title", "Tiny", "--target", "portable", "--split-at", "100kB")
    done = program.packer("build", tiny_model, "-o", path, *arguments)
    assert done.returncode == 0, done.stderr
    assert path.with_suffix(".gguf").read_bytes() == tiny_model.read_bytes()
    return path


def copied(split: Path, place: Path) -> Path:
    place.mkdir()
    for path in (split, split.with_suffix(".gguf")):
        shutil.copyfile(path, place / path.name)
    return place / split.name


def test_the_program_finds_its_model(
    split: Path, windows: Wine, windows_cache: Path, launch: program.Launcher, tmp_path: Path
) -> None:
    expected = launch.run(*ASKED).stdout
    there = WineLauncher(split, windows_cache, wine=windows).ask(*ASKED)
    assert (there.returncode, there.stdout) == (0, expected), there.stderr
    here = program.Launcher(split, tmp_path)
    first, second = (here.run(*ASKED, prefix=["sh"]) for _ in range(2))
    assert first.stdout == second.stdout == expected, first.stderr
    assert here.run("--verify", prefix=["sh"]).returncode == 0
    assert program.packer("verify", split).returncode == 0


def test_it_is_checked_once(split: Path, launch: program.Launcher, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    here = program.Launcher(split, cache)
    variables = here.environment(PATH="/usr/bin:/bin")
    first, second = (here.run(*ASKED, prefix=["sh"], env=variables) for _ in range(2))
    assert "Checking chat.gguf" in first.stderr
    assert second.stderr == ""
    assert first.stdout == second.stdout == launch.run(*ASKED).stdout


def test_a_changed_a_missing_and_a_shorter_model(split: Path, runtime_cache: Path, tmp_path: Path) -> None:
    path = copied(split, tmp_path / "place")
    model = path.with_suffix(".gguf")
    here = program.Launcher(path, runtime_cache)
    variables = here.environment(PATH="/usr/bin:/bin")
    content = bytearray(model.read_bytes())
    content[-1000] ^= 1
    model.write_bytes(content)
    changed = here.run(*ASKED, prefix=["sh"], env=variables)
    assert (changed.returncode, "SHA-256" in changed.stderr) == (5, True), changed.stderr
    assert program.packer("verify", path).returncode == 5
    model.write_bytes(content[:-1000])
    shorter = here.run(*ASKED, prefix=["sh"], env=variables)
    assert (shorter.returncode, "bytes" in shorter.stderr) == (5, True), shorter.stderr
    model.unlink()
    missing = here.run(*ASKED, prefix=["sh"], env=variables)
    assert (missing.returncode, "--model PATH" in missing.stderr) == (3, True), missing.stderr
    described = here.run("--info", "--json", prefix=["sh"], env=variables)
    assert json.loads(described.stdout)["weights"]["file"] == "chat.gguf"


def test_the_model_may_be_elsewhere(split: Path, tiny_model: Path, runtime_cache: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.exe"
    shutil.copyfile(split, alone)
    here = program.Launcher(alone, runtime_cache)
    variables = here.environment(PATH="/usr/bin:/bin")
    done = here.run("--model", tiny_model, *ASKED, prefix=["sh"], env=variables)
    assert (done.returncode, bool(done.stdout.strip())) == (0, True), done.stderr


def test_a_model_that_is_in_place_already_is_not_copied(tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "chat.gguf"
    shutil.copyfile(tiny_model, model)
    before = model.stat()
    done = program.packer("build", model, "-o", tmp_path / "chat", "--split-at", "0")
    assert done.returncode == 0, done.stderr
    assert model.stat().st_mtime_ns == before.st_mtime_ns
    assert program.packer("verify", tmp_path / "chat").returncode == 0


@pytest.mark.parametrize("size", ["", "many", "-3", "3 apples"])
def test_a_size_that_is_none_is_refused(size: str, tiny_model: Path, tmp_path: Path) -> None:
    done = program.packer("build", tiny_model, "-o", tmp_path / "chat", "--split-at", size)
    assert done.returncode == 2
    assert "size" in done.stderr
