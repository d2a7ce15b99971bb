"""Start to first token: a packed file against ``llama-server`` on the bare model, in turn, in one run.

    .venv/bin/python -m tests.bench.start

Both get the same model, the same limit of 16,384 tokens of context and the same request through HTTP, sent again and
again from the moment the process starts until the first token arrives. Both rearrange the weights in memory, as each
does by itself. The packed file's first start ever, with unpacking, is measured against its own warm start. Prints a
table of medians and ratios; ``--json`` prints every figure.
"""

from __future__ import annotations

import argparse
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
from tests.bench.peers import llama_server
from tests.support import models, program

if TYPE_CHECKING:
    from collections.abc import Callable

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


def measure(rounds: int) -> dict[str, list[float]]:
    """Run everything in turn, ``rounds`` times; seconds by name."""
    model = models.benchmark_model(build_parts(default_build_cache(), lambda _text: None), "Q4_K_M")
    peer = str(llama_server())
    figures: dict[str, list[float]] = {"packed, warm": [], "packed, first start ever": [], "llama-server": []}
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "chat"
        program.packer("build", model, "-o", packed).check_returncode()
        runs: dict[str, Callable[[int], float]] = {
            "packed, warm": lambda port: _packed(packed, Path(scratch) / "warm", port),
            "packed, first start ever": lambda port: _packed(packed, Path(scratch) / f"cold{port}", port),
            "llama-server": lambda port: _peer(peer, model, port),
        }
        for run in runs.values():
            run(program.free_port())
        for _ in range(rounds):
            for name, run in runs.items():
                figures[name].append(run(program.free_port()))
    return figures


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Start to first token against llama-server")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.rounds)
    if options.json:
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
        return
    peer = figures["llama-server"]
    sys.stdout.write(f"{'start to first token':26} {'median':>8} {'min':>8} {'max':>8}  ratio to llama-server\n")
    for name, values in figures.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(values, peer, strict=True))
        spread = f"{statistics.median(values):7.2f}s {min(values):7.2f}s {max(values):7.2f}s"
        sys.stdout.write(f"{name:26} {spread}  {ratio:.2f}\n")


if __name__ == "__main__":
    main()
