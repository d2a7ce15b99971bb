"""Bad input: one clear sentence, the documented exit code, no traceback, nothing left behind."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts


def cut(path: Path, tiny: Path, keep: float) -> Path:
    content = tiny.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


def renamed_architecture(path: Path, tiny: Path) -> Path:
    path.write_bytes(tiny.read_bytes().replace(b"llama", b"llamq"))
    return path


def one_shard(path: Path, tiny: Path) -> Path:
    shard = path.with_name("model-00001-of-00003.gguf")
    shard.write_bytes(tiny.read_bytes())
    return shard


def not_a_model(path: Path, _tiny: Path) -> Path:
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    return path


CASES: dict[str, tuple[Callable[[Path, Path], Path], list[str]]] = {
    "missing file": (lambda path, _: path, ["no such file"]),
    "not a GGUF": (not_a_model, ["not a GGUF model", "ZIP"]),
    "truncated header": (lambda path, tiny: cut(path, tiny, 0.005), ["incomplete"]),
    "truncated data": (lambda path, tiny: cut(path, tiny, 0.9), ["cut short", "797,024"]),
    "unknown architecture": (renamed_architecture, ["llamq", "llama"]),
    "missing shard": (one_shard, ["model-00002-of-00003.gguf"]),
    "a directory": (lambda path, _: path.parent, ["directory"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_that_can_not_be_packed(case: str, tiny_model: Path, tmp_path: Path) -> None:
    make, words = CASES[case]
    source = make(tmp_path / "m.gguf", tiny_model)
    before = sorted(tmp_path.rglob("*"))
    done = program.packer("build", source, "-o", tmp_path / "out")
    check_refused(done, 3, [str(source), *words] if case != "missing shard" else words)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_vocabulary_only_model(runtime_parts: RuntimeParts, tmp_path: Path) -> None:
    source = runtime_parts.tools.sources.llama_cpp / "models" / "ggml-vocab-llama-spm.gguf"
    check_refused(program.packer("build", source, "-o", tmp_path / "out"), 3, ["vocabulary only"])
    assert list(tmp_path.iterdir()) == []


def check_refused(done: subprocess.CompletedProcess[str], code: int, words: list[str]) -> None:
    """Check the exit code and that stderr is one sentence with ``words`` and no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    for word in words:
        assert word in done.stderr


def test_an_output_that_can_not_be_written(tiny_model: Path, tmp_path: Path) -> None:
    check_refused(program.packer("build", tiny_model, "-o", tmp_path), 4, ["is a directory"])
    check_refused(program.packer("build", tiny_model, "-o", tmp_path / "no" / "out"), 4, ["is no directory"])
    check_refused(program.packer("build", tiny_model, "-o", "/proc/out"), 4, ["/proc/out", "can't be written"])
    copy = tmp_path / "m.gguf"
    copy.write_bytes(tiny_model.read_bytes())
    check_refused(program.packer("build", copy, "-o", copy), 4, ["is the model itself"])
    assert copy.read_bytes() == tiny_model.read_bytes()
    assert list(tmp_path.iterdir()) == [copy]


@pytest.mark.usefixtures("as_root")
def test_a_full_disk(tiny_model: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    try:
        check_refused(program.packer("build", tiny_model, "-o", disk / "out"), 4, ["free"])
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_settings_with_an_unknown_key(tiny_model: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[chat]\nsystem_promt = 'x'\n")
    done = program.packer("build", tiny_model, "-c", config, "-o", tmp_path / "out")
    check_refused(done, 3, [str(config), "chat.system_promt", "chat.system_prompt"])
    assert not (tmp_path / "out").exists()


def test_things_that_are_no_packed_file(tiny_model: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    check_refused(program.packer("verify", text), 3, ["notes.txt", "not a packed file"])
    check_refused(program.packer("verify", tmp_path / "absent"), 3, ["absent"])
    check_refused(program.packer("run", tmp_path / "absent"), 3, ["no such file"])
    check_refused(program.packer("extract", text), 3, ["not a packed file"])


def test_a_target_that_does_not_exist(tiny_model: Path, tmp_path: Path) -> None:
    done = program.packer("build", tiny_model, "-o", tmp_path / "out", "--target", "amiga")
    check_refused(done, 3, ["amiga", "linux-x86_64"])


def test_runtime_files_that_can_not_be_added(tiny_model: Path, packed: Path, tmp_path: Path) -> None:
    store = {"PACKER_RUNTIMES_DIR": str(tmp_path / "store")}
    check_refused(program.packer("runtimes", "add", tiny_model, **store), 3, ["not a packed file"])
    check_refused(program.packer("runtimes", "add", packed, **store), 3, ["not a runtime file"])
    check_refused(program.packer("runtimes", "remove", "nothing-here", **store), 3, ["no such runtime"])


def test_a_model_that_llama_cpp_refuses(launch: program.Launcher, tiny_model: Path, tmp_path: Path) -> None:
    """A GGUF whose header is sound but whose hyperparameters are missing: the runtime says what llama.cpp said."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_model.read_bytes().replace(b"llama.block_count", b"llama.block_counz"))
    done = launch.run("--model", broken, "-p", "Hello")
    assert done.returncode == 3
    assert "block_count" in done.stderr
    assert "Traceback" not in done.stderr
