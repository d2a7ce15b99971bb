"""llama.cpp alone, without server and HTTP: how fast it computes as it is packed, and as others compile it.

.venv/bin/python -m tests.bench.native --rounds 3 --write docs

The same binding and the same steps with another CPU library each: the packed one (clang through zig, ggml's own
threads) with huge pages, as the launcher starts it, and without; and one that gcc compiles for this very CPU, with
OpenMP and with ggml's threads. Each measurement is a process of its own: a prompt of 512 tokens, then 100 tokens one
by one after a prompt of 100. ``--neighbour`` does it beside another program that keeps one core busy.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.runtimes.recipe import build_parts
from packer.toolchain.build_cache import default_build_cache
from tests.bench import native_child, records
from tests.bench.machine import BusyMeter
from tests.bench.peers import gcc_cpu_library
from tests.support import models, reference

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
BASE = "gcc, OpenMP"


@dataclass(frozen=True, kw_only=True)
class Build:
    """One way to compute: the CPU library, or the best of the packed ones, and what the process is started with."""

    name: str
    cpu_library: Path | None
    environment: dict[str, str]


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--quantization", default="Q4_K_M")
    parser.add_argument("--neighbour", action="store_true", help="keep one core busy meanwhile")


def builds() -> list[Build]:
    """All that are compared, the peer first."""
    return [
        Build(name=BASE, cpu_library=gcc_cpu_library(openmp=True), environment={}),
        Build(name="gcc, ggml's threads", cpu_library=gcc_cpu_library(openmp=False), environment={}),
        Build(name="packed, pages of 4 KB", cpu_library=None, environment={}),
        Build(name="packed", cpu_library=None, environment=HUGE_PAGES),
    ]


def measure_one(build: Build, binding: Path, model: Path) -> dict[str, float]:
    """Tokens a second of a prompt and of generation."""
    libraries = binding / "llama_cpp" / "lib"
    done = subprocess.run(
        [sys.executable, native_child.__file__, str(model), str(build.cpu_library or libraries)],
        env={**os.environ, **build.environment, "PYTHONPATH": str(binding)},
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@contextlib.contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """Keep one core busy if that is wanted."""
    if not wanted:
        yield
        return
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def measure(results: records.Results, chosen: argparse.Namespace) -> None:
    """Measure all builds in turn, in changing order."""
    parts = build_parts(default_build_cache(), lambda _text: None)
    model = models.benchmark_model(parts, chosen.quantization)
    binding, compared = reference.staged_binding(parts), builds()
    for number in range(chosen.rounds):
        meter = BusyMeter(os.getpid())
        round_: dict[str, float] = {}
        with neighbour(chosen.neighbour):
            for build in compared if number % 2 else compared[::-1]:
                figures = measure_one(build, binding, model)
                sys.stderr.write(f"round {number + 1}, {build.name}: {figures}\n")
                round_ |= {f"{build.name}, {name}": value for name, value in figures.items()}
        results.add({"quantization": chosen.quantization, "neighbour": chosen.neighbour, **round_}, meter.read())


def table(results: records.Results) -> Iterator[str]:
    """Medians, and medians of the ratios to the peer."""
    yield "| | beside | prompt | ratio | generation | ratio |"
    yield "|---|---|---|---|---|---|"
    names = [name.rpartition(", ")[0] for name in results.rounds[0] if name.endswith(", prompt")]
    for busy in (False, True):
        rounds = [one for one in results.rounds if one["neighbour"] == busy]
        for name in sorted(names, key=lambda one: (one != BASE, one)) if rounds else []:
            cells = []
            for figure in ("prompt", "generation"):
                ratio = records.median_ratio(rounds, f"{name}, {figure}", f"{BASE}, {figure}")
                cells.append(f"{records.median(rounds, f'{name}, {figure}'):.1f} | {ratio:.2f}")
            yield f"| {name} | {'a busy program' if busy else 'nothing'} | {' | '.join(cells)} |"


if __name__ == "__main__":
    records.run("native", "llama.cpp alone, by compiler, threads and pages", measure, table, options)
