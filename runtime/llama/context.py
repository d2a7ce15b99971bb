"""A llama.cpp context: a KV cache for several sequences, decode calls, the interrupt flag. For one thread only."""

from __future__ import annotations

import ctypes
import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packer.errors import MachineError
from runtime.llama.errors import DecodeError, DecodeInterruptedError
from runtime.llama.kv_types import F16, KV_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.llama.model import Model
    from runtime.llama.projector import PictureRows

ABORTED = 2
TO_THE_END = -1
DECODE_FAILURES = {1: "no room is left in the KV cache", -1: "llama.cpp calls the batch invalid"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """Tokens of one sequence, the first at ``position``.

    ``want_logits`` keeps the output of the last token, ``want_all`` that of every one, which pooling needs.
    """

    sequence_id: int
    tokens: list[int]
    position: int
    want_logits: bool
    want_all: bool = False


class Context:
    """One context whose KV cache all sequences share.

    ``num_tokens`` is its size, which :meth:`resize` changes, ``batch_tokens`` the most that one decode takes,
    ``num_sequences`` the number of sequence ids and of rows of a batch that can have logits.
    """

    def __init__(
        self,
        model: Model,
        *,
        num_tokens: int,
        batch_tokens: int,
        num_threads: int,
        num_sequences: int = 1,
        pooling: int | None = None,
        kv_type: str = F16,
    ) -> None:
        """Allocate the KV cache in the format ``kv_type``.

        Raises InputError when the model's shape forbids that format, MachineError when memory does not suffice.

        With ``pooling`` (llama.h, ``llama_pooling_type``) it gives embeddings instead of logits.
        """
        self.model = model
        self.num_sequences = num_sequences
        self._api = model.library.api
        self._interrupt = ctypes.create_string_buffer(2)
        params = self._api.llama_context_default_params()
        params.n_ctx = num_tokens
        params.n_batch = params.n_ubatch = min(batch_tokens, num_tokens)
        params.n_seq_max = num_sequences
        params.kv_unified = True
        model.check_kv_type(kv_type)
        self.kv_type = kv_type
        params.type_k = params.type_v = KV_TYPES[kv_type].ggml_type
        if pooling is None:
            params.n_outputs_max = num_sequences  # rows of logits; the default is one for every token of a batch
        else:
            params.embeddings, params.pooling_type = True, pooling
        params.n_threads = params.n_threads_batch = num_threads
        params.no_perf = True
        # The callback must not take the interpreter lock for every node of the graph, so it is a C function that
        # looks at one byte: strlen(flag) is 0 (go on) or 1 (stop), read by ggml as a bool.
        address = ctypes.cast(model.library.libc.strlen, ctypes.c_void_p).value
        params.abort_callback = self._api.ggml_abort_callback(address)
        params.abort_callback_data = ctypes.addressof(self._interrupt)
        self._params = params
        self._scales: Sequence[float] = ()
        self.pointer: Any = None
        self._create(num_tokens)
        self.batch_tokens = int(self._api.llama_n_batch(self.pointer))
        self._batch = _Batch(self._api, self.batch_tokens)

    def _create(self, num_tokens: int) -> None:
        """Make the llama.cpp context. Raises MachineError."""
        model, self._params.n_ctx = self.model, num_tokens
        model.library.log.clear()
        self.pointer = self._api.llama_init_from_model(model.pointer, self._params)
        if not self.pointer:
            raise MachineError(
                f"a context of {num_tokens} tokens can't be created{model.library.log.explain()}; "
                "try a smaller one with --ctx-size"
            )
        model.apply_adapters(self.pointer, self._scales)
        self.num_tokens = int(self._api.llama_n_ctx(self.pointer))
        self._memory = self._api.llama_get_memory(self.pointer)

    def use_adapters(self, scales: Sequence[float]) -> None:
        """Use the model's adapters with these scales from now on (``Model.apply_adapters``). Raises DecodeError."""
        if scales == self._scales:
            return
        try:
            self.model.apply_adapters(self.pointer, scales)
        except MachineError as error:
            raise DecodeError(str(error)) from error
        self._scales = scales

    def resize(self, num_tokens: int) -> bool:
        """Put a KV cache of another size in place of this one and move what it holds.

        Returns ``False``, with the new cache empty, when the content can't be moved. Raises MachineError when memory
        does not suffice; the cache then has its old size and content again. The old cache is freed before the new one
        is made, so what it takes at the worst is the new one and a copy of the cells in use.
        """
        before, state = self.num_tokens, self._save()
        self.close()
        try:
            self._create(num_tokens)
        except MachineError:
            try:
                self._create(before)
            except MachineError as error:
                raise DecodeError(f"the KV cache could neither grow nor be put back: {error}") from error
            if not self._restore(state):
                raise DecodeError("the KV cache could neither grow nor be put back") from None
            raise
        return self._restore(state)

    def _save(self) -> Any:
        """Return a copy of the cells in use of all sequences (llama.h, ``llama_state_get_data``)."""
        size_bytes = int(self._api.llama_state_get_size(self.pointer))
        state = (ctypes.c_uint8 * size_bytes)()
        written = int(self._api.llama_state_get_data(self.pointer, state, size_bytes))
        return state if written == size_bytes else None

    def _restore(self, state: Any) -> bool:
        if state is not None and self._api.llama_state_set_data(self.pointer, state, len(state)) == len(state):
            return True
        self._api.llama_memory_clear(self._memory, False)
        return False

    def sequence_bytes(self, sequence_id: int) -> int:
        """Return the size of what :meth:`save_sequence` copies."""
        return int(self._api.llama_state_seq_get_size(self.pointer, sequence_id))

    def save_sequence(self, sequence_id: int) -> memoryview:
        """Return a copy of what is remembered of one sequence (llama.h, ``llama_state_seq_get_data``).

        Its memory goes back to the system with it. Raises DecodeError when this memory can't be copied.
        """
        size_bytes = self.sequence_bytes(sequence_id)
        memory = memoryview(mmap.mmap(-1, max(1, size_bytes)))
        state = (ctypes.c_uint8 * size_bytes).from_buffer(memory)
        written = int(self._api.llama_state_seq_get_data(self.pointer, state, size_bytes, sequence_id))
        if not written:
            raise DecodeError(f"the state of a sequence can't be copied{self.model.library.log.explain()}")
        return memory[:written]

    def restore_sequence(self, sequence_id: int, address: int, size_bytes: int) -> bool:
        """Let an empty sequence remember what :meth:`save_sequence` gave, which lies at ``address``.

        Returns ``False``, with the sequence still empty, when it comes from another kind of context or has no room.
        """
        state = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))
        if self._api.llama_state_seq_set_data(self.pointer, state, size_bytes, sequence_id) == size_bytes:
            return True
        self.truncate(sequence_id, 0)
        return False

    def close(self) -> None:
        """Free the KV cache."""
        if self.pointer:
            self._api.llama_free(self.pointer)
            self.pointer = None

    def decode(self, rows: Sequence[Row]) -> None:
        """Run the tokens of all ``rows`` (at most ``batch_tokens``) through the model as one batch.

        The logits of the last token of a row, shape ``(n_vocab,)``, are then found under that token's index in the
        batch. Raises DecodeInterruptedError or DecodeError; the cache may then hold some of the tokens.
        """
        count = self._batch.fill(rows)
        self._run(
            self._batch.pointer, f"{count} tokens of {len(rows)} sequences, the first at position {rows[0].position}"
        )

    def decode_picture(self, sequence_id: int, rows: PictureRows, position: int, *, want_logits: bool) -> int:
        """Run the rows of a picture, the first at ``position``, batch by batch; return the index of the last.

        Rows that all see each other are one batch. Raises DecodeInterruptedError or DecodeError, as :meth:`decode`.
        """
        api, count, size = self._api, rows.num_tokens, self.batch_tokens
        if rows.is_non_causal and count > size:
            raise DecodeError(f"a picture of {count} tokens does not fit into one batch of {size}")
        positions = rows.positions(position)
        api.llama_set_causal_attn(self.pointer, not rows.is_non_causal)
        try:
            for start in range(0, count, size):
                end = min(start + size, count)
                where = [one for dimension in positions for one in dimension[start:end]]
                is_last = want_logits and end == count
                batch = self._batch.of_rows(sequence_id, rows.pointer(start), where, end - start, is_last=is_last)
                self._run(batch, f"rows {start} to {end} of a picture at position {position}")
        finally:
            api.llama_set_causal_attn(self.pointer, True)
        return (count - 1) % size

    def _run(self, batch: Any, where: str) -> None:
        status = self._api.llama_decode(self.pointer, batch)
        if status == 0:
            return
        if status == ABORTED:
            raise DecodeInterruptedError(f"stopped while it worked on {where}")
        reason = DECODE_FAILURES.get(status, f"llama.cpp reports error {status}")
        raise DecodeError(f"the model failed on {where}: {reason}{self.model.library.log.explain()}")

    def logits(self, index: int) -> Any:
        """Return the logits of token ``index`` of the last batch, a ``float *`` to ``(n_vocab,)`` values."""
        return self._api.llama_get_logits_ith(self.pointer, index)

    def embedding(self, sequence_id: int) -> list[float]:
        """Return the pooled vector of what the last batch held of a sequence, ``(n_embd_out,)``. Raises DecodeError."""
        vector = self._api.llama_get_embeddings_seq(self.pointer, sequence_id)
        if not vector:
            raise DecodeError("the model gives no vector for a sequence")
        found: list[float] = vector[: int(self._api.llama_model_n_embd_out(self.model.pointer))]
        return found

    def truncate(self, sequence_id: int, num_tokens: int) -> bool:
        """Keep the first ``num_tokens`` of a sequence and forget the rest.

        Returns ``False``, with nothing of it left, when this model's memory can't be cut there: recurrent states
        have no past, and a sliding window may have dropped what the next token needs.
        """
        api = self._api
        if not self._memory:  # models that only embed have none
            return num_tokens == 0
        kept = num_tokens > 0 and bool(api.llama_memory_seq_rm(self._memory, sequence_id, num_tokens, TO_THE_END))
        window = self.model.sliding_window
        if kept and window:
            oldest = api.llama_memory_seq_pos_min(self._memory, sequence_id)
            kept = 0 <= oldest <= max(0, num_tokens - window)
        if not kept:
            api.llama_memory_seq_rm(self._memory, sequence_id, 0, TO_THE_END)
        return kept or num_tokens == 0

    def copy(self, source_id: int, target_id: int, num_tokens: int) -> bool:
        """Let the empty sequence ``target_id`` begin with the first ``num_tokens`` of ``source_id``, sharing cells.

        Returns ``False``, with the target still empty, where :meth:`truncate` would. All is copied and then cut,
        because a recurrent memory takes no part of a range.
        """
        self._api.llama_memory_seq_cp(self._memory, source_id, target_id, 0, TO_THE_END)
        return self.truncate(target_id, num_tokens)

    @property
    def can_shift(self) -> bool:
        """Whether tokens in the middle can be forgotten and those behind moved: not with recurrent states.

        Nor with quantized keys: llama.cpp's ``build_rope_shift`` then uses a rotation that it did not make for every
        size of heads, and crashes.
        """
        if self.model.has_state or self.kv_type != F16:
            return False
        return bool(self._memory and self._api.llama_memory_can_shift(self._memory))

    def shift(self, sequence_id: int, start: int, count: int) -> bool:
        """Forget ``count`` tokens of a sequence from ``start`` on and move those behind forward, keys rotated.

        Cells that other sequences share would move for them too. Returns ``False``, with nothing of the sequence left,
        when this memory can't do it.
        """
        api, end = self._api, start + count
        if not self.can_shift or not api.llama_memory_seq_rm(self._memory, sequence_id, start, end):
            self.truncate(sequence_id, 0)
            return False
        api.llama_memory_seq_add(self._memory, sequence_id, end, TO_THE_END, -count)
        return True

    def interrupt(self) -> None:
        """Make a running decode return soon; may be called from any thread."""
        self._interrupt[0] = b"\1"

    def clear_interrupt(self) -> None:
        """Allow decoding again."""
        self._interrupt[0] = b"\0"


class _Batch:
    """A ``llama_batch`` over arrays of our own, which are filled by slices: one copy in C instead of a loop."""

    def __init__(self, api: Any, capacity: int) -> None:
        self._api = api
        self._tokens = (ctypes.c_int32 * capacity)()
        self._positions = (ctypes.c_int32 * capacity)()
        self._ids = (ctypes.c_int32 * capacity)()
        self._logits = (ctypes.c_int8 * capacity)()
        self._ones = (ctypes.c_int32 * capacity)(*[1] * capacity)
        pointer = ctypes.POINTER(ctypes.c_int32)
        start, size = ctypes.addressof(self._ids), ctypes.sizeof(ctypes.c_int32)
        pointers = [ctypes.cast(start + index * size, pointer) for index in range(capacity)]
        self._id_pointers = (pointer * capacity)(*pointers)
        self.pointer = api.llama_batch(
            0, self._tokens, None, self._positions, self._ones, self._id_pointers, self._logits
        )

    def of_rows(self, sequence_id: int, rows: Any, positions: list[int], count: int, *, is_last: bool) -> Any:
        """Return a batch of ``count`` rows in place of tokens; ``positions`` may have several dimensions."""
        self._ids[:count] = [sequence_id] * count
        self._logits[:count] = [0] * count
        self._logits[count - 1] = is_last
        self._places = (ctypes.c_int32 * len(positions))(*positions)
        return self._api.llama_batch(count, None, rows, self._places, self._ones, self._id_pointers, self._logits)

    def fill(self, rows: Sequence[Row]) -> int:
        """Put the rows one after the other; return the number of tokens."""
        end = 0
        for row in rows:
            start, count = end, len(row.tokens)
            end += count
            self._tokens[start:end] = [*row.tokens]
            self._positions[start:end] = list(range(row.position, row.position + count))
            self._ids[start:end] = [row.sequence_id] * count
            self._logits[start:end] = [row.want_all] * count
            self._logits[end - 1] = row.want_logits or row.want_all
        self.pointer.n_tokens = end
        return end
