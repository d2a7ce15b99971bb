"""Trains the model on encoded dialogues: Muon for the matrices of the layers, AdamW for the rest.

Muon: Jordan et al. 2024 (kellerjordan.github.io/posts/muon), as in ``torch.optim.Muon``.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from tools.demo_model.model import Llama

Sample = tuple[list[int], list[float]]
LENGTHS = (33, 49, 65, 97, 129, 193, 257, 385)
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to learn; ``tokens_per_batch`` counts padding too, ``report_every`` is in steps.

    ``limit_s`` ends a run on a busy machine early but with the whole fall of the rate; such a run can't be repeated
    to the bit.
    """

    num_steps: int
    limit_s: float = float("inf")
    tokens_per_batch: int = 2048
    peak_rate: float = 3e-3
    warmup_steps: int = 40
    report_every: int = 50
    seed: int = 1

    def progress(self, step: int, elapsed_s: float) -> float:
        """How much of the run is done, from 0 to 1."""
        return max(step / self.num_steps, elapsed_s / self.limit_s)

    def rate(self, step: int, elapsed_s: float) -> float:
        """Learning rate at ``step``: a short rise, then a straight fall to a hundredth of the peak."""
        rising = (step + 1) / self.warmup_steps
        falling = max(0.01, 1 - self.progress(step, elapsed_s))
        return self.peak_rate * min(1.0, rising, falling)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Mean training loss in nats per spoken token since the last report, after ``elapsed_s`` seconds."""

    step: int
    elapsed_s: float
    loss: float


def batches(samples: Sequence[Sample], tokens_per_batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches ``(tokens, weights)`` of dialogues of like length, one a row, padded on the right.

    There is one shape for each of ``LENGTHS``, because a CPU kernel is compiled anew for every shape. What is left
    over at the end of a round, and dialogues longer than the longest, are left out of it.
    """
    shuffle = random.Random(seed)
    while True:
        order = list(range(len(samples)))
        shuffle.shuffle(order)
        rows: list[tuple[int, list[int]]] = []
        waiting: dict[int, list[int]] = {length: [] for length in LENGTHS}
        for index in order:
            length = next((length for length in LENGTHS if len(samples[index][0]) <= length), None)
            if length is None:
                continue
            waiting[length].append(index)
            if len(waiting[length]) == tokens_per_batch // length:
                rows.append((length, waiting[length]))
                waiting[length] = []
        for length, row in rows:
            yield padded([samples[index] for index in row], length)


def padded(samples: Sequence[Sample], length: int) -> tuple[Tensor, Tensor]:
    """Stack dialogues to ``(batch, length)``."""
    tokens = torch.zeros((len(samples), length), dtype=torch.long)
    weights = torch.zeros((len(samples), length))
    for row, (ids, counts) in enumerate(samples):
        tokens[row, : len(ids)] = torch.tensor(ids)
        weights[row, : len(ids)] = torch.tensor(counts)
    return tokens, weights


def optimizers(model: Llama) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for embedding and norms."""
    matrices = [weight for weight in model.blocks.parameters() if weight.dim() == 2]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in chosen]
    return [
        torch.optim.Muon(matrices, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0.01),
    ]


def train(
    model: Llama, samples: Sequence[Sample], schedule: Schedule, on_report: Callable[[Report], None]
) -> list[Report]:
    """Train ``model`` in place and return the loss curve; ``on_report`` hears each point of it."""
    steppers = optimizers(model)
    source = batches(samples, schedule.tokens_per_batch, schedule.seed)
    reports: list[Report] = []
    losses: list[float] = []
    started_s = time.monotonic()
    step, elapsed_s = 0, 0.0
    while schedule.progress(step, elapsed_s) < 1:
        losses.append(_step(model, steppers, next(source), schedule.rate(step, elapsed_s)))
        step, elapsed_s = step + 1, time.monotonic() - started_s
        if step % schedule.report_every == 0 or schedule.progress(step, elapsed_s) >= 1:
            reports.append(Report(step=step, elapsed_s=elapsed_s, loss=sum(losses) / len(losses)))
            losses.clear()
            log.info("step %d, %.0f s, loss %.4f", step, elapsed_s, reports[-1].loss)
            on_report(reports[-1])
    return reports


def _step(model: Llama, steppers: Sequence[torch.optim.Optimizer], batch: tuple[Tensor, Tensor], rate: float) -> float:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.loss(*batch)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for stepper in steppers:
        for group in stepper.param_groups:
            group["lr"] = rate
        stepper.step()
        stepper.zero_grad(set_to_none=True)
    return float(loss.detach())
