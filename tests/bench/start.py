"""Start to first token: a packed file against ``llama-server`` on the bare model, in turn, in one run.

    .venv/bin/python -m tests.bench.start --rounds 5 --write docs

Both get the same model, the same limit of 16,384 tokens of context and the same request through HTTP, sent again and
again from the moment the process starts until the first token arrives. Both rearrange the weights in memory, as each
does by itself. The packed file's first start ever, with unpacking, is measured against its own warm start. Prints a
table of medians and ratios; ``--json`` prints every figure.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import statistics
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
from tests.bench.peers import llama_server
from tests.support import models, program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

WARM, FIRST, PEER = "packed file, warm", "packed file, first start ever (unpacking included)", "llama-server"
CONTEXT_TOKENS = 16384
LIMIT_S = 120
BODY = json.dumps(
    {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4, "temperature": 0, "stream": True}
)


def first_token_s(command: list[str], port: int, environment: dict[str, str]) -> float:
    """Seconds from starting ``command`` to the first token of a streamed reply."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.perf_counter() - started < LIMIT_S:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if _ask(port):
                    return time.perf_counter() - started
            time.sleep(0.005)
    finally:
        process.terminate()
        process.wait()
    raise TimeoutError(f"{command[0]} gave no token within {LIMIT_S} s")


def _ask(port: int) -> bool:
    """Send the request; true when a token has arrived, false when the server is still loading."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        connection.request("POST", "/v1/chat/completions", BODY, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            return False
        for line in answer:
            if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                return True
        return False
    finally:
        connection.close()


def measure(results: records.Results, chosen: argparse.Namespace) -> None:
    """Run everything in turn, in changing order; the first round warms up and is not kept."""
    model = models.benchmark_model(build_parts(default_build_cache(), lambda _text: None), "Q4_K_M")
    server = str(chosen.peer or llama_server())
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "chat"
        program.packer("build", model, "-o", packed).check_returncode()
        runs: list[tuple[str, Callable[[int], float]]] = [
            (WARM, lambda port: _packed(packed, Path(scratch) / "warm", port)),
            (FIRST, lambda port: _packed(packed, Path(scratch) / f"cold{port}", port)),
            (PEER, lambda port: _peer(server, model, port)),
        ]
        for number in range(chosen.rounds + 1):
            meter = BusyMeter()
            figures = {name: run(program.free_port()) for name, run in (runs if number % 2 else runs[::-1])}
            if number:
                sys.stderr.write(f"round {number}: {figures}\n")
                results.add(figures, meter.read())


def _packed(packed: Path, cache: Path, port: int) -> float:
    command = [str(packed), "--no-browser", "--port", str(port), "--ctx-size", str(CONTEXT_TOKENS)]
    cache.mkdir(exist_ok=True)
    try:
        return first_token_s(command, port, {"PACKER_CACHE_DIR": str(cache)})
    finally:
        if cache.name.startswith("cold"):
            shutil.rmtree(cache)


def _peer(server: str, model: Path, port: int) -> float:
    command = [server, "-m", str(model), "-c", str(CONTEXT_TOKENS), "--port", str(port), "--no-ui"]
    return first_token_s(command, port, {})


def table(results: records.Results) -> Iterator[str]:
    """Medians, the spread, and the median ratio of the pairs."""
    yield "| | median | min | max | ratio to llama-server |"
    yield "|---|---|---|---|---|"
    for name in (WARM, FIRST, PEER):
        times_s = [float(one[name]) for one in results.rounds]
        ratio = records.median_ratio(results.rounds, name, PEER)
        spread = " | ".join(f"{second:.2f} s" for second in (statistics.median(times_s), min(times_s), max(times_s)))
        yield f"| {name} | {spread} | {ratio:.2f} |"


if __name__ == "__main__":
    records.run("start", "Start to first token against llama-server", measure, table)
