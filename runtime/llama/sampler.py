"""Builds llama.cpp sampler chains from sampling settings, in the order llama.cpp's own programs use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.engine.sampling import SamplingParams

PENALTY_WINDOW_TOKENS = 64
RANDOM_SEED = 0xFFFFFFFF
NO_PENALTY = 1.0


class Sampler:
    """One sampler chain: the random state and the penalty window of one sequence."""

    def __init__(self, api: Any, num_vocab_tokens: int, params: SamplingParams, prompt: Sequence[int]) -> None:
        """Build the chain. A repeat penalty also counts the end of the prompt, as in llama.cpp's server."""
        self._api = api
        chain_params = api.llama_sampler_chain_default_params()
        self._chain = api.llama_sampler_chain_init(chain_params)
        for sampler in _samplers(api, num_vocab_tokens, params):
            api.llama_sampler_chain_add(self._chain, sampler)
        if params.repeat_penalty not in {0.0, NO_PENALTY}:
            for token in prompt[-PENALTY_WINDOW_TOKENS:]:
                api.llama_sampler_accept(self._chain, token)

    def sample(self, context_pointer: int) -> int:
        """Choose the next token from the last logits of the context, and remember it."""
        return int(self._api.llama_sampler_sample(self._chain, context_pointer, -1))

    def close(self) -> None:
        """Free the chain."""
        if self._chain:
            self._api.llama_sampler_free(self._chain)
            self._chain = None


def _samplers(api: Any, num_vocab_tokens: int, params: SamplingParams) -> list[Any]:
    chain = []
    repeat_penalty = params.repeat_penalty if params.repeat_penalty > 0 else NO_PENALTY
    if repeat_penalty != NO_PENALTY or params.frequency_penalty or params.presence_penalty:
        chain.append(
            api.llama_sampler_init_penalties(
                num_vocab_tokens,
                PENALTY_WINDOW_TOKENS,
                repeat_penalty,
                params.frequency_penalty,
                params.presence_penalty,
            )
        )
    if params.greedy:
        return [*chain, api.llama_sampler_init_greedy()]
    seed = RANDOM_SEED if params.seed is None else params.seed % RANDOM_SEED
    return [
        *chain,
        api.llama_sampler_init_top_k(params.top_k),
        api.llama_sampler_init_top_p(params.top_p, 1),
        api.llama_sampler_init_min_p(params.min_p, 1),
        api.llama_sampler_init_temp(params.temperature),
        api.llama_sampler_init_dist(seed),
    ]
