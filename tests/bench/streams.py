"""Tokens a second in total at 1, 2, 4 and 8 streams: a packed file against ``llama-server``, in turn, in one run.

    .venv/bin/python -m tests.bench.streams --rounds 5 --write docs

Both serve the benchmark model with a context of 16,384 tokens and eight slots; every stream sends a prompt of about 100
tokens of its own and takes 96 tokens at temperature 0, through HTTP. Which of the two is asked first changes from round
to round. Both rearrange the weights in memory for the processor; with ``--no-repack`` both compute on the mapped ones.
"""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import BooleanOptionalAction
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from packer.runtimes.recipe import build_parts
from packer.toolchain.build_cache import default_build_cache
from tests.bench import records
from tests.bench.machine import BusyMeter, cpu_seconds
from tests.bench.peers import llama_server
from tests.bench.servers import Running, packed_file, peer, user, words
from tests.support import models, program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

STREAMS = (1, 2, 4, 8)
NUM_TOKENS = 96
WARM_UP_TOKENS = 16
PROMPT_WORDS = 75


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--quantizations", nargs="+", default=["Q4_K_M", "Q8_0"])
    parser.add_argument("--streams", nargs="+", type=int, default=list(STREAMS))
    parser.add_argument("--repack", action=BooleanOptionalAction, default=True, help="rearrange the weights in memory")


def tokens_per_second(server: Running, num_streams: int, first: int, num_tokens: int = NUM_TOKENS) -> float:
    """Generated tokens of all streams by the time they took together."""
    started = time.perf_counter()
    with ThreadPoolExecutor(num_streams) as pool:
        answers = pool.map(
            lambda number: server.chat([user(words(PROMPT_WORDS, number))], num_tokens),
            range(first, first + num_streams),
        )
        total = sum(answer["usage"]["completion_tokens"] for answer in answers)
    return float(total / (time.perf_counter() - started))


def measure(results: records.Results, chosen: argparse.Namespace) -> None:
    """Measure every quantization, in rounds for which both are started anew.

    Where a process's memory happens to lie changes its speed by a tenth, for as long as it lives: rounds of the same
    process would agree with each other and tell little.
    """
    parts = build_parts(default_build_cache(), lambda _text: None)
    for quantization in chosen.quantizations:
        model = models.benchmark_model(parts, quantization)
        with tempfile.TemporaryDirectory() as scratch:
            packed = Path(scratch) / "chat"
            program.packer("build", model, "-o", packed).check_returncode()
            mine = packed_file("packed", packed, Path(scratch), repack=chosen.repack)
            for number in range(1, chosen.rounds + 1):
                with (
                    mine.serving() as ours,
                    peer("llama-server", chosen.peer or llama_server(), model, repack=chosen.repack).serving() as other,
                ):
                    compare(results, chosen, {"quantization": quantization, "round": number}, (ours, other))


def compare(
    results: records.Results, chosen: argparse.Namespace, key: records.Round, servers: tuple[Running, Running]
) -> None:
    """Ask both in turn, in an order that changes from round to round, after a short warm-up."""
    number = key["round"]
    for server in servers:
        for num_streams in chosen.streams:
            tokens_per_second(server, num_streams, 10000 * number + 5000 + 100 * num_streams, WARM_UP_TOKENS)
    for num_streams in chosen.streams:
        meter = BusyMeter(*(server.process_id for server in servers))
        figures: dict[str, float] = {}
        for server in servers if number % 2 else servers[::-1]:
            used_s = cpu_seconds(server.process_id)
            rate = tokens_per_second(server, num_streams, 10000 * number + 100 * num_streams)
            figures[server.name] = rate
            num_tokens = num_streams * NUM_TOKENS
            figures[f"{server.name}, CPU ms a token"] = (cpu_seconds(server.process_id) - used_s) * 1000 / num_tokens
        ours, theirs = (figures[server.name] for server in servers)
        sys.stderr.write(
            f"{key['quantization']}, {num_streams} streams, round {number}: "
            f"{ours:.1f} against {theirs:.1f} tokens/s, ratio {ours / theirs:.2f}\n"
        )
        results.add({**key, "streams": num_streams, "repack": chosen.repack, **figures}, meter.read())


def table(results: records.Results) -> Iterator[str]:
    """Medians and the median ratio of the pairs."""
    yield "| model | peer | streams | packed file | llama-server | ratio | CPU time a token, packed / llama-server |"
    yield "|---|---|---|---|---|---|---|"
    keys = dict.fromkeys((one["quantization"], one["repack"], one["streams"]) for one in results.rounds)
    for quantization, repack, streams in sorted(keys):
        rounds = [
            one
            for one in results.rounds
            if (one["quantization"], one["repack"], one["streams"]) == (quantization, repack, streams)
        ]
        rates = [records.median(rounds, name) for name in ("packed", "llama-server")]
        times = [records.median(rounds, f"{name}, CPU ms a token") for name in ("packed", "llama-server")]
        ratio = records.median_ratio(rounds, "packed", "llama-server")
        kind = "repacks" if repack else "maps"
        yield (
            f"| {quantization} | {kind} | {streams} | {rates[0]:.1f} | {rates[1]:.1f} | {ratio:.2f} "
            f"| {times[0]:.1f} / {times[1]:.1f} ms |"
        )


if __name__ == "__main__":
    records.run("streams", "Streams against llama-server", measure, table, options)
