"""The same system prompt of 1,000 tokens in two requests: what the second one reads, and how soon it answers.

.venv/bin/python -m tests.bench.prefix --rounds 5 --write docs
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from packer.runtimes.recipe import build_parts
from packer.toolchain.build_cache import default_build_cache
from tests.bench import records
from tests.bench.machine import BusyMeter
from tests.bench.peers import llama_server
from tests.bench.servers import Running, packed_file, peer, user, words
from tests.support import models, program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

NAMES = ("packed", "llama-server")
SYSTEM_WORDS = 1000
FIGURES = ("first", "second", "read by the second")


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--quantization", default="Q4_K_M")


def two_requests(server: Running, seed: int) -> dict[str, float]:
    """Seconds to the first token of both requests, and the prompt tokens that the second one evaluates."""
    system = {"role": "system", "content": words(SYSTEM_WORDS, seed)}
    first, second = (server.stream([system, user(words(20, seed + number))], 2) for number in (1, 2))
    return {
        f"{server.name}, first": first.first_token_s,
        f"{server.name}, second": second.first_token_s,
        f"{server.name}, read by the second": second.num_prompt_tokens - second.num_cached_tokens,
    }


def measure(results: records.Results, chosen: argparse.Namespace) -> None:
    """Measure both in turn; the first round warms up and is not kept."""
    model = models.benchmark_model(build_parts(default_build_cache(), lambda _text: None), chosen.quantization)
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "chat"
        program.packer("build", model, "-o", packed).check_returncode()
        mine = packed_file("packed", packed, Path(scratch))
        with mine.serving() as ours, peer("llama-server", chosen.peer or llama_server(), model).serving() as theirs:
            servers = (ours, theirs)
            for number in range(chosen.rounds + 1):
                meter = BusyMeter(*(server.process_id for server in servers))
                figures: dict[str, float] = {}
                for server in servers if number % 2 else servers[::-1]:
                    figures |= two_requests(server, 1000 + 10 * number)
                if number:
                    sys.stderr.write(f"round {number}: {figures}\n")
                    results.add({"quantization": chosen.quantization, **figures}, meter.read())


def table(results: records.Results) -> Iterator[str]:
    """Medians."""
    yield "| | first request | second request | prompt tokens evaluated by the second |"
    yield "|---|---|---|---|"
    for name in NAMES:
        first, second, read = (records.median(results.rounds, f"{name}, {figure}") for figure in FIGURES)
        yield f"| {name} | {first:.2f} s | {second:.2f} s | {read:.0f} |"


if __name__ == "__main__":
    records.run("prefix", "A repeated system prompt", measure, table, options)
