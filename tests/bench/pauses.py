"""A long prompt that arrives in the middle of a stream: how long the stream pauses, and how long the prompt takes.

    .venv/bin/python -m tests.bench.pauses --rounds 5 --write docs

One stream runs; after 30 tokens of it another client sends a prompt of 3,000 tokens. Measured through HTTP for a
packed file, for the same engine reading every prompt in one step, and for ``llama-server``: the longest time between
two pieces of the stream from then until the long prompt's own first token, and the time until that token.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from packer.runtimes.recipe import build_parts
from packer.toolchain.build_cache import default_build_cache
from tests.bench import records
from tests.bench.machine import BusyMeter
from tests.bench.peers import llama_server
from tests.bench.servers import Running, packed_file, peer, unsplit, user, words
from tests.support import models, program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

NAMES = ("packed", "unsplit", "llama-server")
LONG_PROMPT_WORDS = 3000
STREAM_TOKENS = 400
TOKENS_BEFORE = 30


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--quantization", default="Q4_K_M")
    parser.add_argument("--words", type=int, default=LONG_PROMPT_WORDS, help="length of the long prompt")


def pause_and_first_token(server: Running, num_words: int, seed: int) -> tuple[float, float, int]:
    """Seconds of the stream's longest pause, seconds to the long prompt's first token, and its number of tokens."""
    has_begun = threading.Event()

    def on_piece(number: int) -> None:
        if number >= TOKENS_BEFORE:
            has_begun.set()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.stream, [user(words(40, seed))], STREAM_TOKENS, on_piece)
        has_begun.wait(600)
        reply = server.stream([user(words(num_words, seed + 1))], 2)
        stream = running.result()
    first_at_s = reply.asked_at_s + reply.first_token_s
    gaps = [
        after - before for before, after in pairwise(stream.times_s) if after > reply.asked_at_s and before < first_at_s
    ]
    if not gaps:
        raise RuntimeError(f"{server.name}: the stream had ended before the long prompt came")
    return max(gaps), reply.first_token_s, reply.num_prompt_tokens


def measure(results: records.Results, chosen: argparse.Namespace) -> None:
    """Measure the three in turn; the first round warms up and is not kept."""
    model = models.benchmark_model(build_parts(default_build_cache(), lambda _text: None), chosen.quantization)
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program.packer("build", model, "-o", scratch / "chat").check_returncode()
        contestants = (
            packed_file("packed", scratch / "chat", scratch),
            unsplit("unsplit", model),
            peer("llama-server", chosen.peer or llama_server(), model),
        )
        servers = [stack.enter_context(contestant.serving()) for contestant in contestants]
        for number in range(chosen.rounds + 1):
            meter = BusyMeter(*(server.process_id for server in servers))
            figures: dict[str, float] = {}
            for server in servers if number % 2 else servers[::-1]:
                pause_s, first_s, num_tokens = pause_and_first_token(server, chosen.words, 1000 + 10 * number)
                figures |= {f"{server.name}, pause": pause_s, f"{server.name}, first token": first_s}
                sys.stderr.write(
                    f"round {number}, {server.name}: pause {pause_s:.2f} s, "
                    f"first token of {num_tokens} after {first_s:.2f} s\n"
                )
            if number:
                results.add({"quantization": chosen.quantization, **figures}, meter.read())


def table(results: records.Results) -> Iterator[str]:
    """Medians and the median ratios to the unsplit engine and to the peer."""
    ratios = "to unsplit | to llama-server"
    yield f"| | longest pause | {ratios} | long prompt's first token | {ratios} |"
    yield "|---|---|---|---|---|---|---|"
    for name in NAMES:
        cells = [name]
        for figure in ("pause", "first token"):
            cells.append(f"{records.median(results.rounds, f'{name}, {figure}'):.2f} s")
            cells += [
                f"{records.median_ratio(results.rounds, f'{name}, {figure}', f'{other}, {figure}'):.2f}"
                for other in ("unsplit", "llama-server")
            ]
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    records.run("pauses", "A long prompt in the middle of a stream", measure, table, options)
