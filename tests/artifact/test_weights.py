"""The weights: mapped from the file itself, never copied, and the same tokens as llama.cpp by itself gives."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import models, program, reference

if TYPE_CHECKING:
    from packer.runtimes.recipe import RuntimeParts

PROMPTS = ("Hello", "Once upon a time there was a", "1 2 3 4")
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
OVERHEAD_LIMIT_BYTES = 25_000_000


@pytest.fixture(scope="module")
def benchmark(runtime_parts: RuntimeParts) -> Path:
    """The 345 MB Q4_K_M model of the benchmark shape."""
    return models.benchmark_model(runtime_parts, "Q4_K_M")


@pytest.fixture(scope="module")
def packed_benchmark(benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("benchmark") / "chat"
    done = program.packer("build", benchmark, "-o", output)
    assert done.returncode == 0, done.stderr
    return output


def packed_ids(launcher: program.Launcher, prompt: str, count: int) -> list[int]:
    """Token ids that a packed file generates greedily for a raw prompt."""
    done = launcher.run("-p", prompt, "--raw", "--token-ids", "--temperature", "0", "--max-tokens", count)
    assert done.returncode == 0, done.stderr
    return [int(token) for token in json.loads(done.stdout)]


@pytest.mark.parametrize("prompt", [*PROMPTS, CHAT.format("Hello")])
def test_greedy_ids_equal_llama_cpp_on_the_tiny_model(
    prompt: str, launch: program.Launcher, tiny_model: Path, runtime_parts: RuntimeParts
) -> None:
    expected = reference.greedy_token_ids(runtime_parts, tiny_model, prompt, 40)
    assert len(expected) == 40
    assert packed_ids(launch, prompt, 40) == expected


def test_greedy_ids_equal_llama_cpp_on_the_benchmark_model(
    packed_benchmark: Path, benchmark: Path, runtime_cache: Path, runtime_parts: RuntimeParts
) -> None:
    launcher = program.Launcher(packed_benchmark, runtime_cache)
    for prompt in PROMPTS[:2]:
        assert packed_ids(launcher, prompt, 24) == reference.greedy_token_ids(runtime_parts, benchmark, prompt, 24)


def test_it_costs_at_most_25_mb_on_top_of_the_model(benchmark: Path, tmp_path: Path) -> None:
    """Without the GPU's backend, whose size tests/artifact/test_gpu.py looks at."""
    output = tmp_path / "chat"
    assert program.packer("build", benchmark, "-o", output, "--gpu", "none").returncode == 0
    assert output.stat().st_size - benchmark.stat().st_size <= OVERHEAD_LIMIT_BYTES


def test_the_weights_are_mapped_from_the_file_and_nowhere_else(
    packed_benchmark: Path, benchmark: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    launcher = program.Launcher(packed_benchmark, cache)
    with launcher.serving("--repack", "off") as server:
        server.json("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4})
        pid = server.process.pid
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    mapped = sum(_extent(line) for line in maps.splitlines() if line.endswith(str(packed_benchmark)))
    assert mapped >= 0.95 * benchmark.stat().st_size
    kilobytes = int(next(line for line in rollup.splitlines() if line.startswith("Anonymous:")).split()[1])
    # The KV cache at the default 4,096 tokens is 4096 x 28 layers x 2 x 512 x 2 bytes = 235 MB of that.
    assert kilobytes * 1024 - 4096 * 28 * 2 * 512 * 2 < 0.8 * benchmark.stat().st_size
    assert sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) < 0.5 * benchmark.stat().st_size
    assert not [path for path in cache.rglob("*") if path.suffix == ".gguf"]


def _extent(line: str) -> int:
    start, _, end = line.split()[0].partition("-")
    return int(end, 16) - int(start, 16)


def test_the_cache_holds_the_runtime_only(launch: program.Launcher, tmp_path: Path) -> None:
    fresh = program.Launcher(launch.path, tmp_path)
    assert fresh.run("-p", "Hello", "--max-tokens", "2").returncode == 0
    entries = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(entries) == 1
    before = {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*")}  # noqa: PTH116
    assert fresh.run("-p", "Hello", "--max-tokens", "2").returncode == 0
    assert {path: os.stat(path).st_mtime_ns for path in tmp_path.rglob("*")} == before  # noqa: PTH116
