"""A packed file with CUDA against ``llama-server`` with CUDA and the real cuBLAS, on a machine with an NVIDIA device.

    packer runtimes build --gpu cuda
    .venv/bin/python -m tests.bench.gpu --rounds 3 --write docs

Tokens a second in total at 1, 8 and 32 streams, tokens a second of a long prompt, and start to first token. The packed
file is measured twice: with its own small stand-in for cuBLAS, and with NVIDIA's in reach, which it then calls. Models:
quantized, which hardly needs cuBLAS, and in halves, which does. Every round starts every server anew. Where nothing can
be fetched or built, ``--peer`` and ``--cublas`` name what was made elsewhere. Without a device it says
so and ends with exit code 7.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from packer.errors import MachineError
from packer.runtimes.recipe import build_parts
from packer.toolchain.build_cache import default_build_cache
from runtime.devices.drivers import loader_name, loader_present
from tests.bench import records
from tests.bench.gpu_peer import LIBRARY, full_cublas, full_llama_server
from tests.bench.machine import BusyMeter
from tests.bench.servers import CONTEXT_TOKENS, Contestant, Running, packed_file, user, words
from tests.bench.start import first_token_s
from tests.bench.streams import WARM_UP_TOKENS, tokens_per_second
from tests.support import models, program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

SMALL, FULL, PEER = "packed", "packed, with NVIDIA's cuBLAS", "llama-server"
STREAMS = (1, 8, 32)
PROMPT_WORDS = 4000
ALL_LAYERS = "99"


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--quantizations", nargs="+", default=["Q4_K_M", "F16"])
    parser.add_argument("--cublas", type=Path, help="a folder with cuBLAS in lib, instead of one that is fetched")


def measure(results: records.Results, chosen: argparse.Namespace) -> None:
    """Measure every model in every server, round by round, in an order that changes."""
    if not loader_present("cuda"):
        raise MachineError(
            f"this machine has no NVIDIA driver ({loader_name('cuda')} was not found): nothing to measure"
        )
    cublas = chosen.cublas or full_cublas()
    server = chosen.peer or full_llama_server(cublas)
    parts = build_parts(default_build_cache(), lambda _text: None)
    for quantization in chosen.quantizations:
        model = models.benchmark_model(parts, quantization)
        with tempfile.TemporaryDirectory() as scratch:
            packed = Path(scratch) / "chat"
            program.packer("build", model, "-o", packed, "--gpu", "cuda").check_returncode()
            contestants = _contestants(packed, server, model, cublas, Path(scratch))
            device = _device(packed, contestants[0].environment)
            for number in range(1, chosen.rounds + 1):
                for contestant in contestants if number % 2 else contestants[::-1]:
                    meter = BusyMeter()
                    figures = _figures(contestant, number)
                    key = {"quantization": quantization, "round": number, "device": device, "server": contestant.name}
                    sys.stderr.write(f"{key} {figures}\n")
                    results.add({**key, **figures}, meter.read())


def _contestants(packed: Path, server: Path, model: Path, cublas: Path, scratch: Path) -> list[Contestant]:
    hidden = scratch / "hidden"
    hidden.mkdir()
    for name in (LIBRARY, "libcublas.so.12"):
        (hidden / name).write_text("no library", encoding="ascii")
    plain = packed_file(SMALL, packed, scratch)
    plain = replace(plain, command=[*plain.command, "--gpu", "cuda"])
    slots = ["-np", str(max(STREAMS)), "--kv-unified"]
    command = [str(server), "-m", str(model), "-c", str(CONTEXT_TOKENS), *slots, "--no-ui", "-ngl", ALL_LAYERS]
    return [
        replace(plain, environment=plain.environment | {"LD_LIBRARY_PATH": str(hidden)}),
        replace(plain, name=FULL, environment=plain.environment | {"LD_LIBRARY_PATH": str(cublas / "lib")}),
        Contestant(name=PEER, command=command, environment={"LD_LIBRARY_PATH": str(cublas / "lib")}),
    ]


def _device(packed: Path, environment: dict[str, str]) -> str:
    """The name of the device that the packed file uses. Raises MachineError when it uses none."""
    done = program.Launcher(packed, packed.parent).run("--info", "--json", "--gpu", "cuda", env=environment)
    device = json.loads(done.stdout)["device"]
    if device["backend"] != "cuda":
        raise MachineError(f"the packed file uses no CUDA device here: {device['why']}")
    return " + ".join(device["devices"])


def _figures(contestant: Contestant, number: int) -> dict[str, float]:
    """Everything about one server, started for it."""
    port = program.free_port()
    start_s = first_token_s([*contestant.command, "--port", str(port)], port, contestant.environment)
    with contestant.serving() as running:
        for num_streams in STREAMS:
            tokens_per_second(running, num_streams, 10000 * number + 5000 + 100 * num_streams, WARM_UP_TOKENS)
        _prompt_speed(running, 10000 * number + 9000)
        rates = {
            f"{num_streams} streams": tokens_per_second(running, num_streams, 10000 * number + 100 * num_streams)
            for num_streams in STREAMS
        }
        return {"start": start_s, "prompt": _prompt_speed(running, 10000 * number + 9001), **rates}


def _prompt_speed(running: Running, seed: int) -> float:
    """Tokens of a prompt that was never seen before by the time to the first token after it."""
    reply = running.stream([user(words(PROMPT_WORDS, seed))], 2)
    return reply.num_prompt_tokens / reply.first_token_s


def table(results: records.Results) -> Iterator[str]:
    """Medians, each with its ratio to llama-server."""
    names = [*(f"{number} streams" for number in STREAMS), "prompt", "start"]
    devices = ", ".join(sorted({str(one["device"]) for one in results.rounds}))
    yield f"Device: {devices}. Tokens a second; start in seconds."
    yield ""
    yield f"| model | server | {' | '.join(names)} |"
    yield "|---|---|" + "---|" * len(names)
    for quantization in dict.fromkeys(str(one["quantization"]) for one in results.rounds):
        for server in (SMALL, FULL, PEER):
            yield f"| {quantization} | {server} | {' | '.join(_cells(results, quantization, server, names))} |"


def _cells(results: records.Results, quantization: str, server: str, names: list[str]) -> Iterator[str]:
    rounds = {
        who: [one for one in results.rounds if (one["quantization"], one["server"]) == (quantization, who)]
        for who in (server, PEER)
    }
    for name in names:
        ours, theirs = (records.median(rounds[who], name) for who in (server, PEER))
        yield f"{ours:.2f} ({ours / theirs:.2f}x)"


if __name__ == "__main__":
    try:
        page = program.CHECKOUT / "docs" / "gpu.md"
        records.run("gpu", "CUDA against llama-server", measure, table, options, document=page)
    except MachineError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
