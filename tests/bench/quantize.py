"""``packer build --quantize Q4_K_M`` of F16 models: how small they get, and how much memory it takes.

    .venv/bin/python -m tests.bench.quantize --rounds 1 --write docs

The memory is what no file backs, of ``packer`` and its children together, looked at every few milliseconds. Beside the
benchmark model stands a larger one whose weights are zeros, for the memory alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from packer.runtimes.recipe import build_parts
from packer.toolchain.build_cache import default_build_cache
from tests.bench import records
from tests.bench.machine import BusyMeter
from tests.bench.memory import anonymous_bytes
from tests.support import models, program
from tests.support.sparse_model import write_sparse_model

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

NAMES = ("benchmark model", "zeros")
ZERO_LAYERS = 12
INTERVAL_S = 0.005


def quantized(model: Path, output: Path) -> dict[str, float]:
    """Pack a model smaller; return sizes, the peak of memory and the duration."""
    started, peak = time.perf_counter(), 0
    command = [sys.executable, "-m", "packer", "build", model, "--quantize", "Q4_K_M", "-o", output]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(program.CHECKOUT)}, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(INTERVAL_S)
    if process.returncode:
        raise RuntimeError(f"{model}: packer ended with exit code {process.returncode}")
    duration_s = time.perf_counter() - started
    program.packer("extract", output, "-d", output.parent / "parts").check_returncode()
    small = next((output.parent / "parts" / "model").glob("*.gguf")).stat().st_size
    return {"before": model.stat().st_size, "after": small, "memory": peak, "duration": duration_s}


def measure(results: records.Results, chosen: argparse.Namespace) -> None:
    """Measure both models."""
    parts = build_parts(default_build_cache(), lambda _text: None)
    for _ in range(chosen.rounds):
        for name in NAMES:
            with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
                model = Path(scratch) / "zeros.gguf"
                if name == NAMES[0]:
                    model = models.benchmark_model(parts, "F16")
                else:
                    write_sparse_model(model, layers=ZERO_LAYERS, half=True)
                meter = BusyMeter()
                results.add({"model": name, **quantized(model, Path(scratch) / "chat")}, meter.read())


def table(results: records.Results) -> Iterator[str]:
    """Medians."""
    yield "| model | F16 | Q4_K_M | ratio | peak of anonymous memory | the whole `packer build` |"
    yield "|---|---|---|---|---|---|"
    for name in NAMES:
        rounds = [one for one in results.rounds if one["model"] == name]
        before, after, memory, duration_s = (
            records.median(rounds, figure) for figure in ("before", "after", "memory", "duration")
        )
        sizes = f"{before / 1e6:,.0f} MB | {after / 1e6:,.0f} MB | {after / before:.2f}"
        yield f"| {name} | {sizes} | {memory / 1e6:.0f} MB | {duration_s:.0f} s |"


if __name__ == "__main__":
    records.run("quantize", "Quantizing while packing", measure, table)
