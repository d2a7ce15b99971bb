"""A packed file against ``llama-server``, llama-cpp-python's own server and xllamacpp, in turn, in one run.

    .venv/bin/python -m tests.bench.compare --rounds 3 --write docs

Each round starts every server anew, in changing order, and asks it through HTTP with the same client. All serve the
benchmark model as Q4_K_M with a limit of 16,384 tokens of context, on as many threads as this process may use cores;
all but llama-cpp-python's, which has one, have eight slots on it. All rearrange the weights in memory. Measured:

* from starting the process to the first streamed token of a short chat, the second of two starts;
* memory that no file backs, of the process and its children: once the server is healthy, before any request, and again
  after eight chats of 1,000 tokens, one after the other, each of its own;
* the time to the first token of those chats' prompts (median of the eight);
* tokens a second of one stream, from its first token to its last, and of four streams together, prompts and all.

llama-cpp-python is compiled by gcc for this very CPU, as ``pip install`` does, and so is ``llama-server``; xllamacpp's
wheel is built for any processor with AVX2.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from packer.runtimes.recipe import build_parts
from packer.toolchain.build_cache import default_build_cache
from tests.bench import plots, records
from tests.bench.environment import bench_python
from tests.bench.machine import BusyMeter
from tests.bench.memory import anonymous_bytes
from tests.bench.peers import llama_server
from tests.bench.servers import (
    NUM_THREADS,
    Contestant,
    Running,
    llama_cpp_python_server,
    packed_file,
    peer,
    user,
    words,
    xllamacpp,
)
from tests.bench.start import first_token_s
from tests.bench.streams import tokens_per_second
from tests.support import models, program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

NAMES = ("packed file", "llama-server", "llama-cpp-python", "xllamacpp")
PICTURE = records.DOCUMENT.parent / "comparison.svg"
NUM_CHATS = 8
CHAT_PROMPT_WORDS = 940
"""With the template's tokens and the reply about 1,000 tokens."""
CHAT_TOKENS = 48
STREAM_PROMPT_WORDS = 75
STREAM_TOKENS = 96
NUM_STREAMS = 4
SETTLE_S = 1.0

FIGURES = {
    "start": "start to first token, s",
    "prompt": "first token of a 1,000-token prompt, s",
    "decode": "one stream, tokens a second",
    "streams": "four streams, tokens a second",
    "memory after start": "anonymous memory after the start, MB",
    "memory after chats": "anonymous memory after eight chats, MB",
}


def contestants(packed: Path, scratch: Path, model: Path, server: Path) -> list[Contestant]:
    """All that are compared."""
    ours, native, binding, wheel = NAMES
    theirs = peer(native, server, model)
    return [
        packed_file(ours, packed, scratch),
        Contestant(name=native, command=[*theirs.command, "--threads", str(NUM_THREADS)]),
        llama_cpp_python_server(binding, model),
        xllamacpp(wheel, model),
    ]


def figures_of(contestant: Contestant, seed: int) -> dict[str, float]:
    """Everything about one server; all prompts of a ``seed`` are its own."""
    port = program.free_port()
    command = [*contestant.command, "--port", str(port)]
    for _ in range(2):  # the second is a warm start for all; the peers share a file that another has just read
        start_s = first_token_s(command, port, contestant.environment)
    with contestant.serving() as server:
        time.sleep(SETTLE_S)
        after_start = anonymous_bytes(server.process_id)
        first_tokens_s = [
            server.stream([user(words(CHAT_PROMPT_WORDS, seed + chat))], CHAT_TOKENS).first_token_s
            for chat in range(NUM_CHATS)
        ]
        after_chats = anonymous_bytes(server.process_id)
        figures = {
            "start": start_s,
            "prompt": statistics.median(first_tokens_s),
            "decode": decode_rate(server, seed + 50),
            "streams": tokens_per_second(server, NUM_STREAMS, seed + 60, STREAM_TOKENS),
            "memory after start": after_start / 1e6,
            "memory after chats": after_chats / 1e6,
        }
    return {f"{contestant.name}, {name}": value for name, value in figures.items()}


def decode_rate(server: Running, seed: int) -> float:
    """Tokens a second between the first token and the last of one stream; the better of two."""
    rates = []
    for number in range(2):
        reply = server.stream([user(words(STREAM_PROMPT_WORDS, seed + number))], STREAM_TOKENS)
        if reply.finish_reason != "length":
            raise RuntimeError(f"{server.name}: expected a reply of full length, it ended with {reply.finish_reason}")
        rates.append((STREAM_TOKENS - 1) / (reply.times_s[-1] - reply.times_s[0]))
    return max(rates)


def measure(results: records.Results, chosen: argparse.Namespace) -> None:
    """Measure all in turn, in an order that moves on by one each round."""
    model = models.benchmark_model(build_parts(default_build_cache(), lambda _text: None), "Q4_K_M")
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "chat"
        program.packer("build", model, "-o", packed).check_returncode()
        compared = contestants(packed, Path(scratch), model, chosen.peer or llama_server())
        for one in compared:  # caches of files and of bytecode are filled, as on any later start
            with one.serving():
                pass
        for _ in range(chosen.rounds):
            number = len(results.rounds)
            meter = BusyMeter()
            round_: dict[str, float] = {}
            for index in range(len(compared)):
                one = compared[(index + number) % len(compared)]
                found = figures_of(one, 100000 + 1000 * number)
                sys.stderr.write(f"round {number + 1}, {', '.join(f'{key} {found[key]:.2f}' for key in found)}\n")
                round_ |= found
            results.add(round_, meter.read())


def table(results: records.Results) -> Iterator[str]:
    """Medians; in brackets the packed file's figure divided by this one, as the median of pairs."""
    yield f"| | {' | '.join(NAMES)} |"
    yield f"|---|{'---|' * len(NAMES)}"
    for figure, title in FIGURES.items():
        cells = []
        for name in NAMES:
            value = records.median(results.rounds, f"{name}, {figure}")
            ratio = records.median_ratio(results.rounds, f"{NAMES[0]}, {figure}", f"{name}, {figure}")
            cells.append(_shown(value) + (f" ({ratio:.2f})" if name != NAMES[0] else ""))
        yield f"| {title} | {' | '.join(cells)} |"


def draw(results: records.Results) -> None:
    """Write the picture of the table, by matplotlib in the benchmarks' own environment."""
    panels: list[dict[str, str | Sequence[str] | Sequence[float]]] = [
        {"title": title, "names": NAMES, "values": [records.median(results.rounds, f"{n}, {figure}") for n in NAMES]}
        for figure, title in FIGURES.items()
    ]
    subprocess.run([bench_python(), plots.__file__, PICTURE], input=json.dumps(panels), text=True, check=True)


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    records.run("compare", "A packed file against three peers", measure, table, draw=draw)
