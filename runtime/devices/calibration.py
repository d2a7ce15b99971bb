"""Compares a device with the CPU on a small model, and judges what came out.

The child measures (:func:`measure`): tokens a second one by one and as a prompt, and whether both compute the same. The
parent judges (:func:`judge`): the faster one for an ordinary request wins, and a device that computes something else
loses whatever its speed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.devices.child import NOT_ASKED
from runtime.llama.context import Context, Row
from runtime.llama.model import ModelFile, load_model
from runtime.llama.placement import CPU_ONLY, Placement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from runtime.devices.device import Device
    from runtime.llama.library import Library

CONTEXT_TOKENS = 256
PROMPT_TOKENS = 128
FIRST_TOKENS = [3]
DECODE_S = 0.25
DECODE_TOKENS = 24
HOPELESS = 3.0
"""A device that is this many times slower one by one is not asked about prompts: it would take very long."""

ORDINARY_PROMPT, ORDINARY_REPLY = 400, 200
LARGEST_ERROR = 0.02
"""Mean square difference of the logits, divided by their variance; sums in another order and halves give some 1e-5."""

ALL_LAYERS = 99
NOT_COMPARED = "it could not be compared with the CPU"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``speedup`` of the device over the CPU for an ordinary request, and ``problem`` when it can't be used at all."""

    speedup: float
    problem: str = ""

    @property
    def device_wins(self) -> bool:
        """Whether the device is to be used."""
        return not self.problem and self.speedup > 1.0

    def in_words(self) -> str:
        """Say how the two compare, such as ``CPU is 4.2x faster``."""
        if self.problem:
            return self.problem
        winner, factor = ("it", self.speedup) if self.speedup > 1.0 else ("CPU", 1.0 / max(self.speedup, 1e-4))
        return f"{winner} is {factor:.1f}x faster" if factor < 9.5 else f"{winner} is {factor:.0f}x faster"


def measure(library: Library, pointer: int, model: Path, num_threads: int) -> Iterator[dict[str, Any]]:
    """Measure both, the CPU first, yielding each figure when it is known."""
    cpu = _Candidate(library, model, CPU_ONLY, num_threads)
    reference = cpu.first_logits()
    cpu_speed = cpu.decode_speed()
    yield {"cpu_decode": cpu_speed}
    device = _Candidate(library, model, Placement(devices=(pointer,), num_layers=ALL_LAYERS), num_threads)
    yield {"error": relative_error(reference, device.first_logits())}
    device_speed = device.decode_speed()
    yield {"device_decode": device_speed}
    if device_speed * HOPELESS < cpu_speed:
        return
    yield {"cpu_prompt": cpu.prompt_speed()}
    yield {"device_prompt": device.prompt_speed()}


class _Candidate:
    """The small model in one place; it stays loaded until the process ends."""

    def __init__(self, library: Library, model: Path, placement: Placement, num_threads: int) -> None:
        self._api = library.api
        loaded = load_model(library, ModelFile(path=model), None, placement)
        self._context = Context(loaded, num_tokens=CONTEXT_TOKENS, batch_tokens=PROMPT_TOKENS, num_threads=num_threads)

    def first_logits(self) -> list[float]:
        """Read a token and return the logits, shape ``(n_vocab,)``."""
        self._decode(FIRST_TOKENS, 0)
        row = self._api.llama_get_logits_ith(self._context.pointer, len(FIRST_TOKENS) - 1)
        return [float(value) for value in row[: self._context.model.vocab.num_tokens]]

    def decode_speed(self) -> float:
        """Tokens a second, one by one; the first one is not counted."""
        self._decode([1], len(FIRST_TOKENS))
        started_s, count = time.perf_counter(), 0
        while count < DECODE_TOKENS and time.perf_counter() - started_s < DECODE_S:
            self._decode([2 + count], len(FIRST_TOKENS) + 1 + count)
            count += 1
        return count / (time.perf_counter() - started_s)

    def prompt_speed(self) -> float:
        """Tokens a second of a prompt; it is read twice and the second time counts."""
        tokens = [1 + index for index in range(PROMPT_TOKENS)]
        for _ in range(2):
            self._context.truncate(0, 0)
            started_s = time.perf_counter()
            self._decode(tokens, 0)
        return PROMPT_TOKENS / (time.perf_counter() - started_s)

    def _decode(self, tokens: list[int], position: int) -> None:
        self._context.decode([Row(sequence_id=0, tokens=tokens, position=position, want_logits=True)])
        self._api.llama_synchronize(self._context.pointer)


def relative_error(expected: list[float], found: list[float]) -> float:
    """Mean square difference over variance; infinite when a number is missing or none."""
    mean = sum(expected) / max(1, len(expected))
    scale = sum((value - mean) ** 2 for value in expected)
    difference = sum((one - other) ** 2 for one, other in zip(expected, found, strict=False))
    if len(expected) != len(found) or scale == 0 or difference != difference:
        return float("inf")
    return difference / scale


def judge(device: Device, results: Iterable[dict[str, Any]], failure: str | None) -> Verdict:
    """Turn what the child reported, and how it ended, into a verdict."""
    figures: dict[str, float] = {}
    for result in results:
        if "problem" in result:
            return Verdict(speedup=0.0, problem=str(result["problem"]))
        figures |= {name: float(value) for name, value in result.items() if type(value) in {int, float}}
    if figures.get("error", 0.0) > LARGEST_ERROR or figures.get("error") != figures.get("error"):
        return Verdict(speedup=0.0, problem="it computes wrong results")
    cpu, gpu = figures.get("cpu_decode", 0.0), figures.get("device_decode", 0.0)
    if cpu > 0 and gpu > 0 and (failure is None or gpu < cpu):
        return Verdict(speedup=_speedup(figures))
    if failure is None:
        return Verdict(speedup=0.0, problem="it gave no result when it was compared with the CPU")
    if failure.startswith(NOT_ASKED):
        return Verdict(speedup=0.0, problem=f"{NOT_COMPARED}{failure.removeprefix(NOT_ASKED)}")
    if device.kind == "software":
        return Verdict(speedup=0.0, problem=f"the renderer {failure}")
    return Verdict(speedup=0.0, problem=f"the driver {failure}")


def _speedup(figures: dict[str, float]) -> float:
    """Time of an ordinary request on the CPU over that on the device."""
    if figures.get("cpu_prompt", 0.0) <= 0 or figures.get("device_prompt", 0.0) <= 0:
        return figures["device_decode"] / figures["cpu_decode"]
    times = {
        name: ORDINARY_PROMPT / figures[f"{name}_prompt"] + ORDINARY_REPLY / figures[f"{name}_decode"]
        for name in ("cpu", "device")
    }
    return times["cpu"] / times["device"]
