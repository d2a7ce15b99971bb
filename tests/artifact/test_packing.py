"""``packer build``: reproducible, small in memory, complete or not at all, settings and shards included."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support import gguf_files, models, program

if TYPE_CHECKING:
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts

MEMORY_LIMIT_BYTES = 100_000_000


def test_the_same_inputs_give_the_same_bytes(packed: Path, tiny_model: Path, tmp_path: Path) -> None:
    again = tmp_path / "chat"
    assert program.packer("build", tiny_model, "-o", again, "--title", "Tiny").returncode == 0
    assert again.read_bytes() == packed.read_bytes()


def test_json_says_what_was_written(tiny_model: Path, tmp_path: Path) -> None:
    done = program.packer("build", tiny_model, "-o", tmp_path / "chat", "--json")
    result = json.loads(done.stdout)
    assert result["size_bytes"] == (tmp_path / "chat").stat().st_size
    assert result["model_bytes"] == tiny_model.stat().st_size


def test_the_output_is_named_after_the_model(tiny_model: Path, tmp_path: Path) -> None:
    done = program.packer("build", tiny_model, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_settings_are_baked_in_and_can_be_locked(tiny_model: Path, runtime_cache: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        'title = "Ward 7"\nlocked = ["chat.system_prompt"]\n[chat]\nsystem_prompt = "Be brief."\n'
        'starters = ["What is a model?"]\n[context]\nsize = 512\n'
    )
    path = tmp_path / "chat"
    assert program.packer("build", tiny_model, "-c", config, "-o", path).returncode == 0
    launcher = program.Launcher(path, runtime_cache)
    with launcher.serving() as server:
        info = server.json("/api/info")
    assert info["title"] == "Ward 7"
    assert info["chat"]["system_prompt"] == "Be brief."
    assert info["chat"]["starters"] == ["What is a model?"]
    assert info["locked"] == ["chat.system_prompt"]
    assert info["context"]["size_tokens"] == 512
    done = launcher.run("-p", "x", "--system-prompt", "other")
    assert done.returncode in {2, 3}
    assert "chat.system_prompt" in done.stderr


def test_a_model_in_parts_is_packed_as_one(
    tiny_model: Path, launch: program.Launcher, runtime_cache: Path, tmp_path: Path
) -> None:
    """Any part may be named; the merged model gives the same answer as the whole one."""
    parts = gguf_files.split_model(tiny_model, tmp_path, 3)
    assert program.packer("build", parts[1], "-o", tmp_path / "chat").returncode == 0
    arguments = ("-p", "Hello", "--max-tokens", "12", "--temperature", "0")
    merged = program.Launcher(tmp_path / "chat", runtime_cache).run(*arguments)
    assert (merged.returncode, merged.stdout) == (0, launch.run(*arguments).stdout), merged.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_interrupted(stop: int, runtime_parts: RuntimeParts, tmp_path: Path) -> None:
    model = models.benchmark_model(runtime_parts, "Q4_K_M")
    environment = {**os.environ, "PYTHONPATH": str(program.CHECKOUT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "packer", "build", model, "-o", tmp_path / "chat"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not list(tmp_path.glob(".chat.*.part")):
        time.sleep(0.005)
    process.send_signal(stop)
    assert process.wait(timeout=60) in {130, 143}
    assert list(tmp_path.iterdir()) == []


def test_packing_holds_less_than_100_mb(runtime_parts: RuntimeParts, tmp_path: Path) -> None:
    """Peak memory of the whole process for the 345 MB model, as the kernel counts it."""
    model = models.benchmark_model(runtime_parts, "Q4_K_M")
    program.packer("runtimes", "build")
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-m", "packer", "build", str(model), "-o", str(tmp_path / "chat")]
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        env={**os.environ, "PYTHONPATH": str(program.CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) * 1024 < MEMORY_LIMIT_BYTES


def test_doctor_and_runtimes_list_have_json(packed: Path) -> None:
    assert packed.exists()
    assert {finding["name"] for finding in json.loads(program.packer("doctor", "--json").stdout)} >= {
        "Python",
        "runtime",
    }
    listed = json.loads(program.packer("runtimes", "list", "--json").stdout)
    assert listed[0]["target"] == "linux-x86_64"


def test_a_runtime_travels_as_one_file(tiny_model: Path, packed: Path, tmp_path: Path) -> None:
    """An air-gapped builder: no build cache, one added runtime file, and packing works."""
    store = {"PACKER_RUNTIMES_DIR": str(tmp_path / "store"), "PACKER_BUILD_CACHE_DIR": str(tmp_path / "nothing")}
    assert program.packer("runtimes", "build", "-o", tmp_path / "linux.runtime").returncode == 0
    added = program.packer("runtimes", "add", tmp_path / "linux.runtime", **store)
    assert added.returncode == 0, added.stderr
    done = program.packer("build", tiny_model, "-o", tmp_path / "chat", "--title", "Tiny", **store)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "chat").read_bytes() == packed.read_bytes()
    assert program.packer("runtimes", "remove", "linux-x86_64", **store).returncode == 0
    assert json.loads(program.packer("runtimes", "list", "--json", **store).stdout) == []
