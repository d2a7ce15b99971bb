"""Writing speed of ``packer build`` against ``cp`` of the same model, in turn, in one run.

.venv/bin/python -m tests.bench.packing
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from packer.runtimes.recipe import build_parts
from packer.toolchain.build_cache import default_build_cache
from tests.support import models, program
from tests.support.tiny_model import tiny_model

ROUNDS = 5


def seconds(command: list[str]) -> float:
    """Wall-clock seconds of a command, its data flushed to the disk; its output removed again by the caller."""
    started = time.perf_counter()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(program.CHECKOUT)}
    )
    return time.perf_counter() - started


def compare(model: Path) -> None:
    """Pack and copy ``model`` in turn and print medians and the ratio; the first pair warms up and is not counted."""
    packing, copying = [], []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        output = Path(scratch) / "out"
        for _ in range(ROUNDS + 1):
            packing.append(seconds([sys.executable, "-m", "packer", "build", str(model), "-o", str(output)]))
            output.unlink()
            copying.append(seconds(["sh", "-c", f"cp '{model}' '{output}' && sync '{output}'"]))
            output.unlink()
    ratio = statistics.median(ours / theirs for ours, theirs in zip(packing[1:], copying[1:], strict=True))
    sys.stdout.write(
        f"{model.stat().st_size / 1e6:6.0f} MB: packer build {statistics.median(packing[1:]):.2f} s, "
        f"cp + sync {statistics.median(copying[1:]):.2f} s, ratio {ratio:.2f} (medians of {ROUNDS} pairs)\n"
    )


def main() -> None:
    """Measure three sizes: what a start costs, and how fast the weights are written."""
    parts = build_parts(default_build_cache(), lambda _text: None)
    compare(tiny_model())
    for quantization in ("Q4_K_M", "F16"):
        compare(models.benchmark_model(parts, quantization))


if __name__ == "__main__":
    main()
