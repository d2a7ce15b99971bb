"""The device side of the engine: what a step needs from a model, and its llama.cpp implementation.

It executes; it decides nothing. Tests put a small model of their own behind the same protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from runtime.llama.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.engine.sampling import SamplingParams
    from runtime.llama.context import Context
    from runtime.llama.model import Model


class TokenSampler(Protocol):
    """Chooses the tokens of one sequence."""

    def sample(self) -> int:
        """Return the next token from the logits of the last decode."""

    def close(self) -> None:
        """Release what the sampler holds."""


class ModelRunner(Protocol):
    """A loaded model with a KV cache for one sequence. All but :meth:`interrupt` belong to the engine's thread."""

    @property
    def context_tokens(self) -> int:
        """Tokens the KV cache holds."""

    @property
    def batch_tokens(self) -> int:
        """The most tokens of one decode."""

    def decode(self, tokens: Sequence[int], position: int, *, want_logits: bool) -> None:
        """Run ``tokens``, the first at ``position``. Raises DecodeError or DecodeInterruptedError."""

    def truncate(self, num_tokens: int) -> bool:
        """Keep the first ``num_tokens`` of the cache; ``False`` when that is impossible and the cache is now empty."""

    def start_sampler(self, params: SamplingParams, prompt: Sequence[int]) -> TokenSampler:
        """Make the sampler of a new sequence."""

    def piece(self, token: int) -> bytes:
        """Return the bytes a token adds to the text."""

    def is_end(self, token: int) -> bool:
        """Tell whether a token ends the reply."""

    def interrupt(self) -> None:
        """Make a running decode end early; from any thread."""

    def clear_interrupt(self) -> None:
        """Allow decoding again."""

    def close(self) -> None:
        """Free the cache and the model."""


class _BoundSampler:
    """A llama.cpp sampler chain together with the context whose logits it reads."""

    def __init__(self, sampler: Sampler, context: Context) -> None:
        self._sampler = sampler
        self._context = context

    def sample(self) -> int:
        return self._sampler.sample(self._context.pointer)

    def close(self) -> None:
        self._sampler.close()


class LlamaModelRunner:
    """The llama.cpp implementation of :class:`ModelRunner`."""

    def __init__(self, model: Model, context: Context) -> None:
        """Take over a model and a context made from it."""
        self.model = model
        self._context = context
        self.context_tokens = context.num_tokens
        self.batch_tokens = context.batch_tokens
        self.piece = model.vocab.piece
        self.is_end = model.vocab.is_end
        self.truncate = context.truncate
        self.interrupt = context.interrupt
        self.clear_interrupt = context.clear_interrupt

    def decode(self, tokens: Sequence[int], position: int, *, want_logits: bool) -> None:
        """Run ``tokens`` through the model; see :meth:`runtime.llama.context.Context.decode`."""
        self._context.decode(tokens, position, want_logits=want_logits)

    def start_sampler(self, params: SamplingParams, prompt: Sequence[int]) -> TokenSampler:
        """Make a sampler chain for a new sequence."""
        sampler = Sampler(self.model.library.api, self.model.vocab.num_tokens, params, prompt)
        return _BoundSampler(sampler, self._context)

    def close(self) -> None:
        """Free context and model, in this order."""
        self._context.close()
        self.model.close()
