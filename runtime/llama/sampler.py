"""Builds llama.cpp sampler chains from sampling settings, in the order llama.cpp's own programs use.

The order is that of ``common/sampling.cpp``: logit bias, penalties, DRY, top-n-sigma, top-k, typical, top-p, min-p,
XTC, temperature, choice. Mirostat takes the place of everything from top-n-sigma to min-p. A grammar stands outside the
chain: as in ``common_sampler_sample``, a token is chosen freely first and only when the grammar forbids it are all
candidates checked, which is slow with large vocabularies.

A chain needs things that only the context knows (vocabulary, number of tokens), so it is built when the first token is
chosen, in the thread that owns the context.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runtime.engine.sampling import NO_PENALTY
from runtime.llama.candidates import Candidates
from runtime.llama.errors import GrammarError
from runtime.llama.lazy_grammar import TriggerWatch
from runtime.llama.vocab import Vocab

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime.engine.sampling import SamplingParams

RANDOM_SEED = 0xFFFFFFFF
MIROSTAT_CANDIDATES = 100
MIN_KEEP = 1
MIROSTAT_1 = 1


class Sampler:
    """One sampler chain: the random state, the penalty window and the grammar state of one sequence."""

    def __init__(self, api: Any, num_vocab_tokens: int, params: SamplingParams, prompt: Sequence[int]) -> None:
        """Prepare a chain for a vocabulary of ``num_vocab_tokens``.

        DRY and the repeat penalty count ``prompt`` as well, as in llama.cpp's server.
        """
        self._api = api
        self._num_vocab_tokens = num_vocab_tokens
        self._params = params
        self._prompt = prompt
        self._chain: Any = None
        self._grammar: Any = None
        self._candidates: Candidates | None = None
        self._watch: TriggerWatch | None = None
        self._vocab_pointer: Any = None
        self._vocab: Vocab | None = None

    def sample(self, context_pointer: int, index: int = -1) -> int:
        """Choose the next token from the context's logits number ``index`` (-1: the last) and remember it.

        Raises GrammarError when the grammar is invalid or leaves no token to choose.
        """
        if self._chain is None:
            self._build(context_pointer)
        if self._candidates is None:
            token = int(self._api.llama_sampler_sample(self._chain, context_pointer, index))
            self._wait(token)
            return token
        logits = self._api.llama_get_logits_ith(context_pointer, index)
        token = self._candidates.choose(logits, [self._chain])
        if not self._candidates.allowed(self._grammar, token):
            token = self._candidates.choose(logits, [self._grammar, self._chain])
            if not self._candidates.allowed(self._grammar, token):
                raise GrammarError("no token of this model continues the reply as the grammar wants; simplify it")
        self._api.llama_sampler_accept(self._chain, token)
        self._api.llama_sampler_accept(self._grammar, token)
        return token

    def close(self) -> None:
        """Free the chain and the grammar."""
        for pointer in (self._chain, self._grammar):
            if pointer:
                self._api.llama_sampler_free(pointer)
        self._chain = self._grammar = self._candidates = self._watch = None

    def _build(self, context_pointer: int) -> None:
        """Make the chain and the grammar for the model of this context."""
        api, params = self._api, self._params
        vocab = api.llama_model_get_vocab(api.llama_get_model(context_pointer))
        self._vocab_pointer = vocab
        if params.grammar_lazy is not None:
            self._vocab = Vocab(api, vocab)
            self._watch = TriggerWatch(params.grammar_lazy)
        elif params.grammar is not None and not self._begin_grammar(params.grammar, params.grammar_prefix):
            raise GrammarError("the grammar does not describe the end of the prompt")
        builder = _Builder(api, vocab, self._num_vocab_tokens, int(api.llama_n_ctx(context_pointer)), params)
        self._chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
        for sampler in builder.samplers():
            api.llama_sampler_chain_add(self._chain, sampler)
        for sampler, window in builder.remembering:
            for token in self._prompt[-window:]:
                api.llama_sampler_accept(sampler, token)

    def _begin_grammar(self, grammar: str, prefix: Sequence[int]) -> bool:
        """Let the grammar hold from now on, if it allows ``prefix`` first; accepting what it forbids would be fatal."""
        pointer = start_grammar(self._api, self._vocab_pointer, grammar)
        candidates = Candidates(self._api, self._num_vocab_tokens)
        for token in prefix:
            if not candidates.allowed(pointer, token):
                self._api.llama_sampler_free(pointer)
                return False
            self._api.llama_sampler_accept(pointer, token)
        self._grammar, self._candidates = pointer, candidates
        return True

    def _wait(self, token: int) -> None:
        """Begin with a lazy grammar once its trigger is there; where that does not lead into it, go on waiting."""
        if self._watch is None or self._vocab is None or self._params.grammar is None:
            return
        begin = self._watch.push(self._vocab.token_bytes(token, special=True))
        if begin is None:
            return
        prefix = self._vocab.exact_tokens(begin)
        if prefix is not None and self._begin_grammar(self._params.grammar, prefix):
            self._watch = None
        elif self._params.grammar_lazy is not None:
            self._watch = TriggerWatch(replace(self._params.grammar_lazy, begins_in_reasoning=False))


def start_grammar(api: Any, vocab: int, grammar: str) -> Any:
    """Return a grammar sampler at its beginning. Raises GrammarError for text that is no GBNF."""
    pointer = None
    if grammar.strip() and "\0" not in grammar:
        pointer = api.llama_sampler_init_grammar(vocab, grammar.encode("utf-8", "replace"), b"root")
    if not pointer:
        raise GrammarError("it is no valid GBNF with a rule named root (left recursion is not allowed either)")
    return pointer


class _Builder:
    """Makes the members of a chain; ``remembering`` lists those that want the prompt, with their window in tokens."""

    def __init__(
        self, api: Any, vocab: int, num_vocab_tokens: int, context_tokens: int, params: SamplingParams
    ) -> None:
        self._api = api
        self._vocab = vocab
        self._num_vocab_tokens = num_vocab_tokens
        self._context_tokens = context_tokens
        self._params = params
        self._seed = RANDOM_SEED if params.seed is None else params.seed % RANDOM_SEED
        self.remembering: list[tuple[Any, int]] = []

    def samplers(self) -> Iterator[Any]:
        """Yield the chain's members in order; the last one chooses."""
        yield from self._logit_bias()
        yield from self._penalties()
        yield from self._dry()
        if self._params.greedy:
            yield self._api.llama_sampler_init_greedy()
        elif self._params.mirostat:
            yield from self._mirostat()
        else:
            yield from self._filters()
            yield from self._choice()

    def _logit_bias(self) -> Iterator[Any]:
        """Add the biases of the request to those of tokens that the model's maker suppressed."""
        count = ctypes.c_int32(0)
        suppressed = self._api.llama_vocab_get_suppress_tokens(self._vocab, ctypes.byref(count))
        never = [(int(suppressed[index]), -math.inf) for index in range(count.value)]
        known = [pair for pair in self._params.logit_bias if 0 <= pair[0] < self._num_vocab_tokens]
        biases = [self._api.llama_logit_bias(token, bias) for token, bias in (*known, *never)]
        if biases:
            array = (self._api.llama_logit_bias * len(biases))(*biases)
            yield self._api.llama_sampler_init_logit_bias(self._num_vocab_tokens, len(biases), array)

    def _penalties(self) -> Iterator[Any]:
        params = self._params
        if not params.penalizes:
            return
        window = self._window(params.repeat_last_n)
        repeat_penalty = params.repeat_penalty if params.repeat_penalty > 0 else NO_PENALTY
        sampler = self._api.llama_sampler_init_penalties(
            self._num_vocab_tokens, window, repeat_penalty, params.frequency_penalty, params.presence_penalty
        )
        if repeat_penalty != NO_PENALTY:
            self.remembering.append((sampler, window))
        yield sampler

    def _dry(self) -> Iterator[Any]:
        params, window = self._params, self._window(self._params.dry_penalty_last_n)
        if params.dry_multiplier == 0 or window == 0:
            return
        breakers = [text.encode("utf-8", "replace") for text in params.dry_sequence_breakers]
        sampler = self._api.llama_sampler_init_dry(
            self._vocab,
            params.dry_multiplier,
            params.dry_base,
            params.dry_allowed_length,
            window,
            (ctypes.c_char_p * len(breakers))(*breakers),
            len(breakers),
        )
        self.remembering.append((sampler, window))
        yield sampler

    def _filters(self) -> Iterator[Any]:
        api, params = self._api, self._params
        if params.top_n_sigma > 0:
            yield api.llama_sampler_init_top_n_sigma(params.top_n_sigma)
        yield api.llama_sampler_init_top_k(params.top_k)
        if params.typical_p < 1:
            yield api.llama_sampler_init_typical(params.typical_p, MIN_KEEP)
        yield api.llama_sampler_init_top_p(params.top_p, MIN_KEEP)
        yield api.llama_sampler_init_min_p(params.min_p, MIN_KEEP)
        if params.xtc_probability > 0:
            yield api.llama_sampler_init_xtc(params.xtc_probability, params.xtc_threshold, MIN_KEEP, self._seed)

    def _choice(self) -> Iterator[Any]:
        api, params = self._api, self._params
        yield api.llama_sampler_init_temp_ext(params.temperature, params.dynatemp_range, params.dynatemp_exponent)
        yield api.llama_sampler_init_dist(self._seed)

    def _mirostat(self) -> Iterator[Any]:
        api, params = self._api, self._params
        yield api.llama_sampler_init_temp(params.temperature)
        if params.mirostat == MIROSTAT_1:
            yield api.llama_sampler_init_mirostat(
                self._num_vocab_tokens, self._seed, params.mirostat_tau, params.mirostat_eta, MIROSTAT_CANDIDATES
            )
        else:
            yield api.llama_sampler_init_mirostat_v2(self._seed, params.mirostat_tau, params.mirostat_eta)

    def _window(self, num_tokens: int) -> int:
        """Limit a window to the context; -1 means all of it."""
        return self._context_tokens if num_tokens < 0 else min(num_tokens, self._context_tokens)
