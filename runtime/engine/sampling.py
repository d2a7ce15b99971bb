"""How the next token is chosen."""

from __future__ import annotations

from dataclasses import dataclass

NO_PENALTY = 1.0
DRY_BREAKERS = ("\n", ":", '"', "*")


@dataclass(frozen=True, kw_only=True)
class LazyGrammar:
    """What a grammar waits for: regular expressions, searched in the reply outside of reasoning between its marks."""

    patterns: tuple[str, ...]
    reasoning_start: str = ""
    reasoning_ends: tuple[str, ...] = ()
    begins_in_reasoning: bool = False


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """Sampling settings with the names, meanings and, but for the first few, defaults of llama.cpp's server.

    A ``temperature`` of 0 or less takes the likeliest token. These values switch a filter off: ``top_k`` 0 or less,
    ``top_p`` and ``typical_p`` 1.0, ``min_p`` 0.0, ``top_n_sigma`` below 0, ``repeat_penalty`` 1.0, the other
    penalties, ``dry_multiplier``, ``xtc_probability``, ``dynatemp_range`` and ``mirostat`` 0. Windows
    (``repeat_last_n``, ``dry_penalty_last_n``) count tokens, -1 is the whole context. ``seed`` ``None`` draws a random
    one. ``logit_bias`` is added to the logits of tokens; ``grammar`` is GBNF whose root rule is ``root``. It
    also describes ``grammar_prefix``, tokens at the end of the prompt. With ``grammar_lazy`` it does not hold from the
    beginning of the reply.
    """

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = NO_PENALTY
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    repeat_last_n: int = 64
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: tuple[str, ...] = DRY_BREAKERS
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logit_bias: tuple[tuple[int, float], ...] = ()
    grammar: str | None = None
    grammar_prefix: tuple[int, ...] = ()
    grammar_lazy: LazyGrammar | None = None

    @property
    def greedy(self) -> bool:
        """Whether nothing is left to chance."""
        return self.temperature <= 0

    @property
    def penalizes(self) -> bool:
        """Whether tokens that appeared already are made less likely."""
        changed = self.repeat_penalty not in {0.0, NO_PENALTY} or self.frequency_penalty or self.presence_penalty
        return bool(changed) and self.repeat_last_n != 0
