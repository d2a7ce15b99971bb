"""What the benchmarks measure: packed files and ``llama-server``, started the same way, asked by the same client."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.environment import bench_python
from tests.bench.peers import llama_cpp_python
from tests.support import program

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTEXT_TOKENS = 16384
NUM_SLOTS = 8
NUM_THREADS = len(os.sched_getaffinity(0))
XLLAMACPP_SERVER = Path(__file__).parent / "xllamacpp_server.py"
START_LIMIT_S = 300
REQUEST_LIMIT_S = 1800
WORDS = (
    "the of and to in is it you that for on are with as this be at have from or one had by but not what all were we "
    "when your can said there use an each which she do how their if will up other about out many then them these so"
).split()


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A server to be measured; ``command`` is completed with a port."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    health_path: str = "/health"

    @contextlib.contextmanager
    def serving(self) -> Iterator[Running]:
        """Start it, wait until it is healthy, end it."""
        port = program.free_port()
        process = subprocess.Popen(
            [*self.command, "--port", str(port)],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        running = Running(name=self.name, port=port, process_id=process.pid, health_path=self.health_path)
        try:
            deadline = time.monotonic() + START_LIMIT_S
            while not running.is_healthy():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} did not start: {' '.join(self.command)}")
                time.sleep(0.05)
            yield running
        finally:
            process.terminate()
            process.wait()


def packed_file(name: str, path: Path, cache: Path, *, repack: bool = True) -> Contestant:
    """A packed file with the context of all benchmarks; its eight slots follow from that."""
    command = [str(path), "--no-browser", "--ctx-size", str(CONTEXT_TOKENS), "--repack", "on" if repack else "off"]
    return Contestant(
        name=name,
        command=command,
        environment={"PACKER_CACHE_DIR": str(cache), "PACKER_DATA_DIR": str(cache / "data")},
    )


def unsplit(name: str, model: Path) -> Contestant:
    """This project's own engine on ``model``, from the sources, reading every prompt in one step."""
    return Contestant(
        name=name,
        command=[sys.executable, "-m", "tests.bench.unsplit_server", str(model), "--ctx-size", str(CONTEXT_TOKENS)],
        environment={**os.environ, "PYTHONPATH": str(program.CHECKOUT)},
    )


def peer(name: str, server: Path, model: Path, *, repack: bool = True) -> Contestant:
    """``llama-server`` with as many slots, each free to use the whole context, as ours are.

    Without ``repack`` it computes on the mapped weights.
    """
    slots = ["-np", str(NUM_SLOTS), "--kv-unified"]
    command = [str(server), "-m", str(model), "-c", str(CONTEXT_TOKENS), *slots, "--no-ui"]
    return Contestant(name=name, command=command if repack else [*command, "--no-repack"])


def llama_cpp_python_server(name: str, model: Path) -> Contestant:
    """``python -m llama_cpp.server``, which has one slot, with flash attention as the others use it by themselves.

    By default it would compute the logits of every token of a prompt, which this API has no use for: turned off.
    """
    options = {
        "model": model,
        "host": "127.0.0.1",
        "n_ctx": CONTEXT_TOKENS,
        "n_threads": NUM_THREADS,
        "n_threads_batch": NUM_THREADS,
        "logits_all": "false",
        "flash_attn": "true",
    }
    words_ = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return Contestant(
        name=name,
        command=[str(bench_python()), "-m", "llama_cpp.server", *words_],
        environment={"PYTHONPATH": str(llama_cpp_python())},
        health_path="/v1/models",
    )


def xllamacpp(name: str, model: Path) -> Contestant:
    """xllamacpp's wheel and the server inside it."""
    sizes = ["--ctx-size", str(CONTEXT_TOKENS), "--slots", str(NUM_SLOTS), "--threads", str(NUM_THREADS)]
    return Contestant(name=name, command=[str(bench_python()), str(XLLAMACPP_SERVER), str(model), *sizes])


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A streamed reply: when each piece of text came, by the clock of ``time.perf_counter``, and the token counts.

    The counts are 0 where a server does not send them in a stream.
    """

    asked_at_s: float
    times_s: list[float]
    num_prompt_tokens: int
    num_cached_tokens: int
    finish_reason: str | None

    @property
    def first_token_s(self) -> float:
        """Seconds from the request to the first text."""
        return self.times_s[0] - self.asked_at_s


@dataclass(frozen=True, kw_only=True)
class Running:
    """A contestant that answers."""

    name: str
    port: int
    process_id: int
    health_path: str = "/health"

    def is_healthy(self) -> bool:
        """Tell whether the model is loaded."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request("GET", self.health_path)
            return connection.getresponse().status == 200
        return False

    def chat(self, messages: list[dict[str, str]], num_tokens: int) -> dict[str, Any]:
        """Return the whole answer to a chat, exactly ``num_tokens`` long and greedy."""
        answer = self._post({"messages": messages, **_length(num_tokens)})
        found: dict[str, Any] = json.loads(answer.read())
        return found

    def stream(self, messages: list[dict[str, str]], num_tokens: int, on_piece: Any = lambda _number: None) -> Reply:
        """Stream the same and note when each piece came; ``on_piece`` is told its number."""
        asked_at_s = time.perf_counter()
        options = {"stream": True, "stream_options": {"include_usage": True}}
        times_s: list[float] = []
        usage: dict[str, Any] = {}
        finish_reason = None
        for line in self._post({"messages": messages, **_length(num_tokens), **options}):
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[6:])
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                finish_reason = choice.get("finish_reason") or finish_reason
            if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                times_s.append(time.perf_counter())
                on_piece(len(times_s))
        return Reply(
            asked_at_s=asked_at_s,
            times_s=times_s,
            num_prompt_tokens=usage.get("prompt_tokens", 0),
            num_cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
            finish_reason=finish_reason,
        )

    def _post(self, body: dict[str, Any]) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_LIMIT_S)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{self.name}: {answer.status} {answer.read()!r:.300}")
        return answer


def _length(num_tokens: int) -> dict[str, Any]:
    return {"max_tokens": num_tokens, "temperature": 0, "ignore_eos": True}


def words(num_words: int, seed: int) -> str:
    """A text of so many words, each a token of the benchmark's vocabulary; other seeds share no beginning."""
    chosen = random.Random(seed)
    return " ".join([f"{seed}", *(chosen.choice(WORDS) for _ in range(num_words))])


def user(text: str) -> dict[str, str]:
    """A user's message."""
    return {"role": "user", "content": text}
