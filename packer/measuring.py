"""Measures a packed file on this machine the way a client meets it: start it, ask it over HTTP, watch the clock.

It knows only the file's command line and its HTTP API, so it measures any version of either. Prompts are numbers that
differ from one request to the next, because the program reuses beginnings that it has read before.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import re
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packer.errors import InputError, MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

HOST = "127.0.0.1"
ADDRESS = re.compile(rf"http://{re.escape(HOST)}:(\d+)")
START_LIMIT_S = 600.0
REPLY_LIMIT_S = 1800.0
POLL_S = 0.005
NUMBERS = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One streamed reply: seconds from the request to its first and last token, and the token counts."""

    first_s: float
    last_s: float
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure: repetitions, tokens of the long prompt and of a reply, numbers of streams."""

    rounds: int
    prompt_tokens: int
    reply_tokens: int
    streams: tuple[int, ...]


def measure(program: Path, plan: Plan, note: Callable[[str], None]) -> dict[str, Any]:
    """Run all measurements and return them as JSON values; each figure is the median of its rounds, with all values.

    Seconds end in ``_s``, rates in ``_per_s``. Raises InputError or MachineError when the program does not serve.
    """
    starts = []
    for number in range(plan.rounds):
        note(f"start {number + 1}/{plan.rounds}")
        starts.append(_start_once(program))
    with serving(program) as port:
        info = _get(port, "/api/info")
        note("prompt")
        prompts = [_prompt_rate(port, plan) for _ in range(plan.rounds)]
        rates = {}
        for count in plan.streams:
            note(f"{count} stream{'s' if count > 1 else ''}")
            rates[count] = [_stream_rate(port, count, plan.reply_tokens) for _ in range(plan.rounds)]
    return {
        "file": program.name,
        "machine": {name: info.get(name) for name in ("device", "cpu_variant", "threads", "context", "version")},
        "model": info.get("model"),
        "plan": {"rounds": plan.rounds, "prompt_tokens": plan.prompt_tokens, "reply_tokens": plan.reply_tokens},
        "healthy_s": _figure([healthy for healthy, _first in starts]),
        "first_token_s": _figure([first for _healthy, first in starts]),
        "prompt_tokens_per_s": _figure(prompts),
        "streams": [{"streams": count, "tokens_per_s": _figure(values)} for count, values in rates.items()],
    }


def _figure(values: Sequence[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "values": list(values)}


@contextlib.contextmanager
def serving(program: Path) -> Iterator[int]:
    """Start ``program`` on a free port and yield the port as soon as it is printed; end it afterwards."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        try:
            process = subprocess.Popen(
                [str(program.absolute()), "--no-browser", "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise InputError(f"{program}: can't be started ({error.strerror}); expected a packed file") from error
        with process:
            try:
                yield _printed_port(process, program, complaints)
            finally:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()


def _printed_port(process: subprocess.Popen[str], program: Path, complaints: Any) -> int:
    for line in process.stdout or ():
        if found := ADDRESS.search(line):
            return int(found[1])
    complaints.seek(0)
    said = complaints.read().strip().removeprefix("error: ") or f"exit code {process.wait()}"
    raise MachineError(f"{program}: ended before it served: {said}")


def _start_once(program: Path) -> tuple[float, float]:
    """Seconds from starting the program until it is healthy, and until the first token of a short reply."""
    started = time.perf_counter()
    with serving(program) as port:
        while True:
            health = _get(port, "/health")
            if health.get("status") == "ok":
                break
            if health.get("status") == "error":
                raise MachineError(f"{program}: {health.get('error', {}).get('message', 'the model failed to load')}")
            if time.perf_counter() - started > START_LIMIT_S:
                raise MachineError(f"{program}: was not ready after {START_LIMIT_S:.0f} seconds")
            time.sleep(POLL_S)
        healthy_s = time.perf_counter() - started
        asked_s = time.perf_counter() - started
        return healthy_s, asked_s + _ask(port, "Hello", 1).first_s


def _prompt_rate(port: int, plan: Plan) -> float:
    """Tokens of a long new prompt by the seconds until its first token."""
    reply = _ask(port, _numbers(plan.prompt_tokens), 1)
    return reply.prompt_tokens / reply.first_s


def _stream_rate(port: int, num_streams: int, reply_tokens: int) -> float:
    """Tokens that ``num_streams`` clients get together, by the seconds from the first token to the last."""
    prompts = [_numbers(32) for _ in range(num_streams)]
    with ThreadPoolExecutor(num_streams) as pool:
        started = time.perf_counter()
        replies = list(pool.map(lambda prompt: _ask(port, prompt, reply_tokens), prompts))
        taken_s = time.perf_counter() - started
    total = sum(reply.completion_tokens for reply in replies)
    if num_streams == 1:
        return (total - 1) / max(replies[0].last_s - replies[0].first_s, 1e-9)
    return total / taken_s


def _numbers(num_tokens: int) -> str:
    """A text of roughly ``num_tokens`` tokens (two for a number) that no earlier request began with."""
    seed = time.monotonic_ns() + next(NUMBERS)
    return " ".join(str((seed // 1009 + index * 7919) % 97) for index in range(max(1, num_tokens // 2)))


def _ask(port: int, prompt: str, max_tokens: int) -> Reply:
    body = {
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    started = time.perf_counter()
    connection = http.client.HTTPConnection(HOST, port, timeout=REPLY_LIMIT_S)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise MachineError(f"the program answered {answer.status}: {answer.read(500).decode(errors='replace')}")
        return _watch(answer, started)


def _watch(answer: http.client.HTTPResponse, started: float) -> Reply:
    """Read a stream of server-sent events to its end. The first chunk with a choice but without text is the role."""
    first_s = last_s = 0.0
    usage: dict[str, int] = {}
    for line in answer:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if "error" in event:
            raise MachineError(f"the program gave up: {event['error'].get('message')}")
        usage = event.get("usage") or usage
        if any(choice.get("delta", {}).get("content") or choice.get("finish_reason") for choice in event["choices"]):
            last_s = time.perf_counter() - started
            first_s = first_s or last_s
    return Reply(
        first_s=first_s or time.perf_counter() - started,
        last_s=last_s,
        prompt_tokens=usage.get("prompt_tokens", 0),
        completion_tokens=usage.get("completion_tokens", 0),
    )


def _get(port: int, path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise MachineError(f"the program stopped answering ({error})") from error
    return answer
