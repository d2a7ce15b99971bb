"""Log probabilities of a token from the logits of its row.

They are those of the model itself: the softmax over all raw logits, before logit bias, penalties, temperature, filters
and grammar, which is what OpenAI's API and llama.cpp's server (``get_token_probabilities``) report. llama.cpp's own
samplers do the arithmetic: ``dist`` leaves every candidate's probability, ``top_k`` brings the likeliest to the front.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

from runtime.engine.logprobs import TokenLogprob, TokenLogprobs
from runtime.llama.candidates import Candidates


class LogprobReader:
    """Reads log probabilities; one for all sequences of a context, made when the first is asked for."""

    def __init__(self, api: Any, num_vocab_tokens: int) -> None:
        """Allocate the list of candidates."""
        self._api = api
        self._num_vocab_tokens = num_vocab_tokens
        self._candidates = Candidates(api, num_vocab_tokens)
        self._softmax = api.llama_sampler_init_dist(0)

    def read(self, logits: Any, token: int, num_top: int) -> TokenLogprobs:
        """Return those of ``token`` and of the ``num_top`` likeliest for ``logits``, ``(n_vocab,)``, left unchanged."""
        array = self._candidates.fill(logits)
        self._api.llama_sampler_apply(self._softmax, ctypes.byref(array))
        first = self._api.llama_sampler_init_top_k(max(1, num_top))
        self._api.llama_sampler_apply(first, ctypes.byref(array))
        self._api.llama_sampler_free(first)
        best = array.data[0]
        log_sum = best.logit - math.log(best.p)
        top = (array.data[index] for index in range(min(num_top, array.size)))
        return TokenLogprobs(
            chosen=TokenLogprob(token=token, logprob=float(logits[token]) - log_sum),
            top=tuple(TokenLogprob(token=int(one.id), logprob=float(one.logit) - log_sum) for one in top),
        )

    def close(self) -> None:
        """Free the sampler."""
        if self._softmax:
            self._api.llama_sampler_free(self._softmax)
            self._softmax = None
