"""Tokens a second in total at 1, 2, 4 and 8 streams: a packed file against ``llama-server``, in turn, in one run.

    .venv/bin/python -m tests.bench.streams

Both serve the benchmark model with a context of 16,384 tokens; every stream sends a prompt of about 100 tokens of its
own and takes 96 tokens at temperature 0, through HTTP. The peer gets eight slots. Neither repacks weights.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from packer.runtimes.recipe import build_parts
from packer.toolchain.build_cache import default_build_cache
from tests.bench.peers import llama_server
from tests.support import models, program

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS = (1, 2, 4, 8)
CONTEXT_TOKENS = 16384
NUM_TOKENS = 96
START_LIMIT_S = 60


@contextlib.contextmanager
def serving(command: list[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    """Start a server, wait until it is healthy, yield its port, end it."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def complete(port: int, number: int) -> int:
    """One reply; returns the number of tokens generated."""
    words = " ".join(f"{(number + 3) * index * 7 % 997}" for index in range(40))
    body = {
        "messages": [{"role": "user", "content": f"Stream {number}: {words}"}],
        "max_tokens": NUM_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    return int(answer["usage"]["completion_tokens"])


def tokens_per_second(port: int, num_streams: int, first: int) -> float:
    """Generated tokens of all streams by the time they took together."""
    started = time.perf_counter()
    with ThreadPoolExecutor(num_streams) as pool:
        counts = pool.map(lambda number: complete(port, number), range(first, first + num_streams))
        total = sum(counts)
    return total / (time.perf_counter() - started)


def main() -> None:
    """Measure in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(description="Streams against llama-server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quantization", default="Q4_K_M")
    options = parser.parse_args()
    model = models.benchmark_model(build_parts(default_build_cache(), lambda _text: None), options.quantization)
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "chat"
        program.packer("build", model, "-o", packed).check_returncode()
        ours, theirs = program.free_port(), program.free_port()
        mine = [str(packed), "--no-browser", "--port", str(ours), "--ctx-size", str(CONTEXT_TOKENS)]
        peer = [str(llama_server()), "-m", str(model), "-c", str(CONTEXT_TOKENS), "-np", "8", "--port", str(theirs)]
        peer += ["--no-ui", "--no-repack"]
        with serving(mine, ours, {"PACKER_CACHE_DIR": scratch}), serving(peer, theirs, {}):
            compare(ours, theirs, options.rounds)


def compare(ours: int, theirs: int, rounds: int) -> None:
    """Ask both in turn; the first round of each number of streams warms up and is not counted."""
    sys.stdout.write(f"{'streams':>8} {'packed':>10} {'llama-server':>13} {'ratio':>6}\n")
    for num_streams in STREAMS:
        pairs = []
        for number in range(rounds + 1):
            first = 1000 * num_streams + 10 * number
            pairs.append((tokens_per_second(ours, num_streams, first), tokens_per_second(theirs, num_streams, first)))
        counted = pairs[1:]
        mine, peer = (statistics.median(values) for values in zip(*counted, strict=True))
        ratio = statistics.median(own / other for own, other in counted)
        sys.stdout.write(f"{num_streams:8} {mine:8.1f}/s {peer:11.1f}/s {ratio:6.2f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
