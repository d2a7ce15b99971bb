"""The list of all tokens with their logits that llama.cpp's samplers work on (llama.h, ``llama_token_data_array``)."""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, Any

from runtime.llama.errors import GrammarError

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKEN_DATA_WORDS = 3
"""``llama_token_data`` is three 4-byte words: id, logit, probability."""


class Candidates:
    """A list of all tokens with their logits, ``(n_vocab,)``, that samplers narrow down to one."""

    def __init__(self, api: Any, num_vocab_tokens: int) -> None:
        """Allocate the list; it is filled anew for each choice, with strided copies that run in C."""
        self._api = api
        self._size = num_vocab_tokens
        memory = bytearray(4 * TOKEN_DATA_WORDS * num_vocab_tokens)
        self._data = (api.llama_token_data * num_vocab_tokens).from_buffer(memory)
        self._ids = memoryview(memory).cast("i")[::TOKEN_DATA_WORDS]
        self._logits = memoryview(memory).cast("f")[1::TOKEN_DATA_WORDS]
        in_order = (ctypes.c_int32 * num_vocab_tokens)(*range(num_vocab_tokens))
        self._in_order = memoryview(bytes(in_order)).cast("i")

    def fill(self, logits: Any) -> Any:
        """Return a ``llama_token_data_array`` of all tokens in order, with ``logits`` of shape ``(n_vocab,)``."""
        self._ids[:] = self._in_order
        self._logits[:] = memoryview(ctypes.string_at(logits, 4 * self._size)).cast("f")
        return self._array(self._data, self._size)

    def choose(self, logits: Any, samplers: Sequence[Any]) -> int:
        """Return the token that ``samplers``, applied one after the other, choose from ``logits``; none accepts it."""
        array = self.fill(logits)
        for sampler in samplers:
            self._api.llama_sampler_apply(sampler, ctypes.byref(array))
        if not 0 <= array.selected < array.size:
            raise GrammarError("no token can be chosen from what the grammar leaves")
        return int(array.data[array.selected].id)

    def allowed(self, grammar: Any, token: int) -> bool:
        """Tell whether ``grammar`` lets ``token`` come next; changes nothing."""
        one = (self._api.llama_token_data * 1)(self._api.llama_token_data(token, 0.0, 0.0))
        array = self._array(one, 1)
        self._api.llama_sampler_apply(grammar, ctypes.byref(array))
        return bool(math.isfinite(one[0].logit))

    def _array(self, data: Any, size: int) -> Any:
        pointer = ctypes.cast(data, ctypes.POINTER(self._api.llama_token_data))
        return self._api.llama_token_data_array(pointer, size, -1, False)
