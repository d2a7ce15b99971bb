"""Tokens a second of the demonstration model, packed, at one stream and at four, on the cores this process may use.

    taskset -c 0,1 .venv/bin/python -m tests.bench.demo

Through HTTP, without streaming, so that a figure covers prompt, reply and everything between; the median of rounds.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support import program

ROUNDS = 5
REPLIES_A_ROUND = 12
QUESTIONS = ("Count from 1 to 20.", "How do I pack my own model?", "List the months of the year.", "What can you do?")


def reply_tokens(server: program.Server, question: str) -> int:
    """Ask ``question`` and return the number of tokens of the reply."""
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 200}
    return int(server.json("/v1/chat/completions", body)["usage"]["completion_tokens"])


def tokens_a_second(server: program.Server, num_streams: int) -> float:
    """Median over rounds of ``REPLIES_A_ROUND`` replies, ``num_streams`` at a time."""
    figures = []
    for _ in range(ROUNDS):
        asked = [QUESTIONS[index % len(QUESTIONS)] for index in range(REPLIES_A_ROUND)]
        started = time.perf_counter()
        with ThreadPoolExecutor(num_streams) as pool:
            num_tokens = sum(pool.map(lambda question: reply_tokens(server, question), asked))
        figures.append(num_tokens / (time.perf_counter() - started))
    return statistics.median(figures)


def main() -> None:
    """Pack the model, start it and print both figures."""
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "chat"
        done = program.packer("build", "demo", "-o", packed)
        if done.returncode:
            raise SystemExit(done.stderr)
        with program.Launcher(packed, Path(scratch) / "cache").serving() as server:
            reply_tokens(server, QUESTIONS[0])
            for num_streams in (1, 4):
                figure = tokens_a_second(server, num_streams)
                cores = len(os.sched_getaffinity(0))
                sys.stdout.write(f"{num_streams} at once, {cores} cores: {figure:.0f} tokens a second\n")


if __name__ == "__main__":
    main()
