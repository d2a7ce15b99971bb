"""A llama.cpp context: KV cache, decode calls and the interrupt flag. Use it from one thread only."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from packer.errors import MachineError
from runtime.llama.errors import DecodeError, DecodeInterruptedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.llama.model import Model

ABORTED = 2
SEQUENCE = 0
DECODE_FAILURES = {1: "no room is left in the KV cache", -1: "llama.cpp calls the batch invalid"}


class Context:
    """One context with one sequence. ``num_tokens`` is its size; ``batch_tokens`` the most that one decode takes."""

    def __init__(self, model: Model, *, num_tokens: int, batch_tokens: int, num_threads: int) -> None:
        """Allocate the KV cache. Raises MachineError when memory does not suffice."""
        self.model = model
        self._api = model.library.api
        self._interrupt = ctypes.create_string_buffer(2)
        params = self._api.llama_context_default_params()
        params.n_ctx = num_tokens
        params.n_batch = params.n_ubatch = min(batch_tokens, num_tokens)
        params.n_seq_max = 1
        params.n_outputs_max = 1  # one row of logits; the default reserves one for every token of a batch
        params.n_threads = params.n_threads_batch = num_threads
        params.no_perf = True
        # The callback must not take the interpreter lock for every node of the graph, so it is a C function that
        # looks at one byte: strlen(flag) is 0 (go on) or 1 (stop), read by ggml as a bool.
        address = ctypes.cast(model.library.libc.strlen, ctypes.c_void_p).value
        params.abort_callback = self._api.ggml_abort_callback(address)
        params.abort_callback_data = ctypes.addressof(self._interrupt)
        model.library.log.clear()
        self.pointer = self._api.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            raise MachineError(
                f"a context of {num_tokens} tokens can't be created{model.library.log.explain()}; "
                "try a smaller one with --ctx-size"
            )
        self.num_tokens = int(self._api.llama_n_ctx(self.pointer))
        self.batch_tokens = int(self._api.llama_n_batch(self.pointer))
        self._memory = self._api.llama_get_memory(self.pointer)
        self._batch = self._api.llama_batch_init(self.batch_tokens, 0, 1)

    def close(self) -> None:
        """Free the KV cache and the batch."""
        if self.pointer:
            self._api.llama_batch_free(self._batch)
            self._api.llama_free(self.pointer)
            self.pointer = None

    def decode(self, tokens: Sequence[int], position: int, *, want_logits: bool) -> None:
        """Run ``tokens`` (at most ``batch_tokens``) through the model at ``position`` and the positions after it.

        With ``want_logits`` the logits of the last token, shape ``(n_vocab,)``, are kept for sampling. Raises
        DecodeInterruptedError or DecodeError; the cache may then hold some of the tokens.
        """
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = position + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = SEQUENCE
            batch.logits[index] = 0
        batch.logits[len(tokens) - 1] = 1 if want_logits else 0
        status = self._api.llama_decode(self.pointer, batch)
        if status == ABORTED:
            raise DecodeInterruptedError(f"stopped while reading {len(tokens)} tokens at position {position}")
        if status != 0:
            reason = DECODE_FAILURES.get(status, f"llama.cpp reports error {status}")
            raise DecodeError(f"the model failed at position {position}: {reason}{self.model.library.log.explain()}")

    def truncate(self, num_tokens: int) -> bool:
        """Keep the first ``num_tokens`` of the cache and forget the rest.

        Returns ``False``, with an empty cache, when this model's memory can't be cut there: recurrent states have
        no past, and a sliding window may have dropped what the next token needs.
        """
        api = self._api
        kept = num_tokens > 0 and bool(api.llama_memory_seq_rm(self._memory, SEQUENCE, num_tokens, -1))
        window = self.model.sliding_window
        if kept and window:
            oldest = api.llama_memory_seq_pos_min(self._memory, SEQUENCE)
            kept = 0 <= oldest <= max(0, num_tokens - window)
        if not kept:
            api.llama_memory_clear(self._memory, False)
        return kept or num_tokens == 0

    def interrupt(self) -> None:
        """Make a running decode return soon; may be called from any thread."""
        self._interrupt[0] = b"\1"

    def clear_interrupt(self) -> None:
        """Allow decoding again."""
        self._interrupt[0] = b"\0"
