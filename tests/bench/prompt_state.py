"""The first request ever, with a system prompt of 900 words that was packed, against ``llama-server`` and a plain file.

    .venv/bin/python -m tests.bench.prompt_state --rounds 5 --write docs

Each round starts every program anew, waits until it is healthy and sends one chat; the peer gets the same system prompt
in the request. The times to the first token do not hold the start, which ``start`` measures.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from packer.runtimes.recipe import build_parts
from packer.toolchain.build_cache import default_build_cache
from tests.bench import records
from tests.bench.machine import BusyMeter
from tests.bench.peers import llama_server
from tests.bench.servers import Contestant, packed_file, peer, user, words
from tests.support import models, program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

PACKED, QUANTIZED, PLAIN, PEER = "state packed", "state packed, KV cache in q8_0", "nothing packed", "llama-server"
SYSTEM_WORDS = 900


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--quantization", default="Q4_K_M")


def pack(model: Path, directory: Path, system: str, mode: str, kv_type: str = "f16") -> tuple[Path, int]:
    """Pack the model with a system prompt; return the file and the bytes of its state."""
    config = directory / "chat.toml"
    config.write_text(f'[chat]\nsystem_prompt = "{system}"\n[context]\nkv_type = "{kv_type}"\n', encoding="utf-8")
    path = directory / f"chat-{mode}-{kv_type}"
    done = program.packer("build", model, "-c", config, "-o", path, "--prompt-cache", mode, "--json")
    done.check_returncode()
    return path, sum(one["size_bytes"] for one in json.loads(done.stdout)["prompts"])


def first_request(contestant: Contestant, system: str, seed: int) -> tuple[float, float]:
    """Start a server; return the seconds to the first token of its first request, and the prompt tokens it read."""
    messages = [user(words(20, seed))]
    if contestant.name == PEER:
        messages.insert(0, {"role": "system", "content": system})
    with contestant.serving() as server:
        streamed = server.stream(messages, 2)
    return streamed.first_token_s, streamed.num_prompt_tokens - streamed.num_cached_tokens


def measure(results: records.Results, chosen: argparse.Namespace) -> None:
    """Measure all in turn; the first round warms up and is not kept."""
    model = models.benchmark_model(build_parts(default_build_cache(), lambda _text: None), chosen.quantization)
    system = words(SYSTEM_WORDS, 7)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        packed, size_bytes = pack(model, place, system, "always")
        quantized, quantized_bytes = pack(model, place, system, "always", "q8_0")
        plain, _none = pack(model, place, system, "never")
        contestants = [
            packed_file(PACKED, packed, place),
            packed_file(QUANTIZED, quantized, place),
            packed_file(PLAIN, plain, place),
            peer(PEER, chosen.peer or llama_server(), model),
        ]
        for number in range(chosen.rounds + 1):
            meter = BusyMeter()
            figures: dict[str, float] = {f"{PACKED}, bytes": size_bytes, f"{QUANTIZED}, bytes": quantized_bytes}
            for one in contestants if number % 2 else contestants[::-1]:
                seconds, num_read = first_request(one, system, 100 + number)
                figures |= {f"{one.name}, first": seconds, f"{one.name}, read": num_read}
            if number:
                sys.stderr.write(f"round {number}: {figures}\n")
                results.add({"quantization": chosen.quantization, **figures}, meter.read())


def table(results: records.Results) -> Iterator[str]:
    """Medians, and ratios of pairs."""
    rounds = results.rounds
    yield "| | first token | ratio to llama-server | prompt tokens evaluated | added to the file |"
    yield "|---|---|---|---|---|"
    for name in (PACKED, QUANTIZED, PLAIN, PEER):
        first, read = (records.median(rounds, f"{name}, {figure}") for figure in ("first", "read"))
        ratio = records.median_ratio(rounds, f"{name}, first", f"{PEER}, first")
        size_bytes = records.median(rounds, f"{name}, bytes") if f"{name}, bytes" in rounds[0] else 0
        added = f"{size_bytes / 1e6:.1f} MB" if size_bytes else ""
        yield f"| {name} | {first:.3f} s | {ratio:.3f} | {read:.0f} | {added} |"


if __name__ == "__main__":
    records.run("prompt_state", "The first request ever, with a packed system prompt", measure, table, options)
