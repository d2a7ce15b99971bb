"""The part of llama.cpp's binding that sampler chains need, in Python, without a model."""

from __future__ import annotations

import ctypes
import math
from collections import defaultdict
from typing import Any


class TokenData(ctypes.Structure):
    _fields_ = (("id", ctypes.c_int32), ("logit", ctypes.c_float), ("p", ctypes.c_float))


class TokenDataArray(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.POINTER(TokenData)),
        ("size", ctypes.c_size_t),
        ("selected", ctypes.c_int64),
        ("sorted", ctypes.c_bool),
    )


class LogitBias(ctypes.Structure):
    _fields_ = (("token", ctypes.c_int32), ("bias", ctypes.c_float))


class FakeLlama:
    """Samplers are their names; a grammar is a string of digits, the tokens it allows. Every choice is greedy."""

    llama_token_data = TokenData
    llama_token_data_array = TokenDataArray
    llama_logit_bias = LogitBias
    context_tokens = 4096

    def __init__(self, *, vocab_size: int, logits: list[float] | None = None) -> None:
        self.logits = list(logits or range(vocab_size))
        self.chain: list[tuple[Any, ...]] = []
        self.accepted: dict[str, list[int]] = defaultdict(list)
        self.grammar_tokens: set[int] = set()
        self.num_open = 0

    def __getattr__(self, name: str) -> Any:
        kind = name.removeprefix("llama_sampler_init_")
        if kind == name:
            raise AttributeError(name)
        return lambda *values: (kind, *(round(v, 6) if isinstance(v, float) else v for v in _plain(kind, values)))

    def llama_get_model(self, context: int) -> int:
        return context

    def llama_model_get_vocab(self, model: int) -> int:
        return model

    def llama_n_ctx(self, _context: int) -> int:
        return self.context_tokens

    def llama_vocab_get_suppress_tokens(self, _vocab: int, _count: Any) -> None:
        return None

    def llama_get_logits_ith(self, _context: int, _index: int) -> Any:
        self._row = (ctypes.c_float * len(self.logits))(*self.logits)
        return self._row

    def llama_sampler_chain_default_params(self) -> None:
        return None

    def llama_sampler_chain_init(self, _params: None) -> str:
        self.num_open += 1
        return "chain"

    def llama_sampler_chain_add(self, _chain: str, sampler: tuple[Any, ...]) -> None:
        self.chain.append(sampler)

    def llama_sampler_init_grammar(self, _vocab: int, grammar: bytes, root: bytes) -> str | None:
        assert root == b"root"
        if not grammar.isdigit():
            return None
        self.num_open += 1
        self.grammar_tokens = {int(digit) for digit in grammar.decode()}
        return "grammar"

    def llama_sampler_free(self, _sampler: str) -> None:
        self.num_open -= 1

    def llama_sampler_accept(self, sampler: Any, token: int) -> None:
        self.accepted[sampler if isinstance(sampler, str) else sampler[0]].append(token)

    def llama_sampler_sample(self, chain: str, _context: int, _index: int) -> int:
        token = self.logits.index(max(self.logits))
        self.llama_sampler_accept(chain, token)
        return token

    def llama_sampler_apply(self, sampler: Any, reference: Any) -> None:
        array = reference._obj
        rows = [array.data[index] for index in range(array.size)]
        if sampler == "grammar":
            for row in rows:
                if row.id not in self.grammar_tokens:
                    row.logit = -math.inf
        elif sampler == "sort":
            pairs = sorted(((row.logit, row.id) for row in rows), reverse=True)
            for row, (logit, token) in zip(rows, pairs, strict=True):
                row.logit, row.id = logit, token
        else:
            array.selected = max(range(len(rows)), key=lambda index: rows[index].logit)


def _plain(kind: str, values: tuple[Any, ...]) -> list[Any]:
    """Drop pointers and sizes from the arguments of a sampler and make lists of arrays."""
    if kind == "logit_bias":
        return [[(bias.token, bias.bias) for bias in values[2]]]
    if kind == "dry":
        return [*values[1:5], list(values[5])]
    if kind == "penalties":
        return list(values[1:])
    return [value for value in values[:1] if kind in {"top_k", "top_p", "min_p", "dist"}] or list(values)
