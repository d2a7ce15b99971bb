"""How long a running reply pauses while another client's long prompt is read: a packed file against ``llama-server``.

    .venv/bin/python -m tests.bench.pauses

One client streams. Then another sends a new prompt of about 3,000 tokens. Printed are the longest pause of the first
client's tokens and the seconds until the second one's first token, beside those of the same prompt with nobody else
there: that is how long the pause would be if prompts were read in one piece. Last, how many tokens of a repeated
system prompt of 1,000 are read again.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packer.runtimes.recipe import build_parts
from packer.toolchain.build_cache import default_build_cache
from tests.bench.peers import llama_server
from tests.bench.streams import CONTEXT_TOKENS, serving
from tests.support import models, program

if TYPE_CHECKING:
    from collections.abc import Iterator

NUM_WORDS = 1500
SYSTEM_WORDS = 500
WARM_UP_TOKENS = 12


@dataclass(frozen=True, kw_only=True)
class Pause:
    """One measurement, in seconds."""

    alone_s: float
    longest_s: float
    first_token_s: float


def numbers(count: int, seed: int) -> str:
    """A text of about twice ``count`` tokens that begins like no other."""
    return " ".join(str(100 + (seed * 7919 + index * 104729) % 897) for index in range(count))


def stream(port: int, prompt: str, max_tokens: int) -> Iterator[float]:
    """Send a request; yield the time of each token."""
    body = {
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        for line in connection.getresponse():
            if line.startswith(b"data: {") and b'"content":"' in line.replace(b'": "', b'":"'):
                yield time.perf_counter()


def first_token_s(port: int, seed: int) -> float:
    """Seconds until the first token of a new long prompt."""
    started = time.perf_counter()
    return next(stream(port, numbers(NUM_WORDS, seed), 1)) - started


def measure(port: int, seed: int) -> Pause:
    """Read one long prompt alone and another one beside a running reply."""
    alone_s = first_token_s(port, seed)
    times: list[float] = []
    warm, done = threading.Event(), threading.Event()

    def run() -> None:
        for moment in stream(port, f"Count {seed}", 2000):
            times.append(moment)
            if len(times) == WARM_UP_TOKENS:
                warm.set()
            if done.is_set():
                return

    thread = threading.Thread(target=run)
    thread.start()
    warm.wait()
    begun = len(times) - 1
    beside_s = first_token_s(port, seed + 1)
    done.set()
    thread.join()
    gaps = [after - before for before, after in zip(times[begun:], times[begun + 1 :], strict=False)]
    return Pause(alone_s=alone_s, longest_s=max(gaps), first_token_s=beside_s)


def read_again(port: int) -> tuple[int, int]:
    """Tokens of the second prompt with the same system prompt of 1,000 tokens, and how many of them were read."""
    usage: dict[str, Any] = {}
    for question in ("first", "second"):
        body = {
            "messages": [
                {"role": "system", "content": numbers(SYSTEM_WORDS, 77)},
                {"role": "user", "content": question},
            ],
            "max_tokens": 1,
        }
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            usage = json.loads(connection.getresponse().read())["usage"]
    cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    return usage["prompt_tokens"], usage["prompt_tokens"] - cached


def report(name: str, pauses: list[Pause]) -> None:
    """Print the medians of one server."""
    alone, longest, first = (
        statistics.median(getattr(pause, field) for pause in pauses)
        for field in ("alone_s", "longest_s", "first_token_s")
    )
    sys.stdout.write(
        f"{name:13}{alone:13.2f} s{longest:13.2f} s{longest / alone:15.2f}{first:13.2f} s{first / alone:15.2f}\n"
    )
    sys.stdout.flush()


def main() -> None:
    """Measure both in turn and print medians."""
    parser = argparse.ArgumentParser(description="Pauses against llama-server")
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
            for port in (ours, theirs):
                first_token_s(port, 1)
            pairs = [(measure(ours, 10 * one + 2), measure(theirs, 10 * one + 2)) for one in range(options.rounds)]
            heading = ("prompt alone", "longest pause", "ratio", "first token", "ratio")
            sys.stdout.write(" " * 13 + "".join(f"{words:>15}" for words in heading) + "\n")
            report("packed", [pair[0] for pair in pairs])
            report("llama-server", [pair[1] for pair in pairs])
            for name, port in (("packed", ours), ("llama-server", theirs)):
                total, read = read_again(port)
                sys.stdout.write(f"{name:13} repeated system prompt: {read} of {total} prompt tokens read again\n")


if __name__ == "__main__":
    main()
