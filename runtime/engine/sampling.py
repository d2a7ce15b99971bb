"""How the next token is chosen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """Sampling settings with llama.cpp's meaning; a ``temperature`` of 0 or less takes the likeliest token.

    ``top_k`` 0 and ``top_p`` 1.0 switch these filters off; ``seed`` ``None`` draws a random one.
    """

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None

    @property
    def greedy(self) -> bool:
        """Whether nothing is left to chance."""
        return self.temperature <= 0
