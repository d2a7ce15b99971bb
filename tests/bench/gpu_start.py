"""Start to first token with and without GPU backends in the file, on a machine without any graphics driver.

    .venv/bin/python -m tests.bench.gpu_start --rounds 15 --write docs

The same tiny model is packed without GPU support, with Vulkan, and with CUDA as well where that was built: what a
backend costs at the start shows best where little else is done. The drivers' loaders are hidden, and the files are
started in turn, in an order that changes, their runtimes unpacked beforehand.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from packer.programs import LINUX
from packer.runtimes.backends import BackendStore
from packer.runtimes.store import default_store
from runtime.devices.drivers import LOADERS
from tests.bench import records
from tests.bench.machine import BusyMeter
from tests.bench.start import first_token_s
from tests.support import models, program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

PLAIN = "none"
CHOICES = (PLAIN, "vulkan", "vulkan,cuda")


def measure(results: records.Results, chosen: argparse.Namespace) -> None:
    """Start each file once a round; the first round unpacks and is not kept."""
    has_cuda = BackendStore(runtimes=default_store()).find("cuda", LINUX) is not None
    choices = CHOICES if has_cuda else CHOICES[:-1]
    with tempfile.TemporaryDirectory() as scratch:
        environment = _without_loaders(Path(scratch))
        files = {choice: Path(scratch) / choice.replace(",", "-") for choice in choices}
        for choice, path in files.items():
            program.packer("build", models.tiny_model(), "-o", path, "--gpu", choice).check_returncode()
        for number in range(chosen.rounds + 1):
            meter = BusyMeter()
            order = choices if number % 2 else choices[::-1]
            figures = {choice: _start(files[choice], environment) for choice in order}
            if number:
                sys.stderr.write(f"round {number}: {figures}\n")
                results.add(figures, meter.read())


def _without_loaders(scratch: Path) -> dict[str, str]:
    """Put files in the way that are no libraries, where loaders are looked for first."""
    hidden = scratch / "hidden"
    hidden.mkdir()
    for names in LOADERS.values():
        (hidden / names["linux"]).write_text("no library", encoding="ascii")
    return {"LD_LIBRARY_PATH": str(hidden), "PACKER_CACHE_DIR": str(scratch / "cache")}


def _start(path: Path, environment: dict[str, str]) -> float:
    port = program.free_port()
    command = [str(path), "--no-browser", "--no-history", "--port", str(port)]
    return first_token_s(command, port, environment)


def table(results: records.Results) -> Iterator[str]:
    """Medians, and the median ratio of the pairs."""
    yield "| backends in the file | median | min | max | ratio to none |"
    yield "|---|---|---|---|---|"
    for choice in [name for name in CHOICES if all(name in one for one in results.rounds)]:
        times_s = [float(one[choice]) for one in results.rounds]
        spread = " | ".join(f"{second:.3f} s" for second in (statistics.median(times_s), min(times_s), max(times_s)))
        yield f"| {choice} | {spread} | {records.median_ratio(results.rounds, choice, PLAIN):.2f} |"


if __name__ == "__main__":
    page = program.CHECKOUT / "docs" / "gpu.md"
    records.run("gpu-start", "Start with and without GPU backends in the file", measure, table, document=page)
