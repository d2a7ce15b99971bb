"""The device side of the engine: what a step needs from a model, and its llama.cpp implementation.

It executes; it decides nothing. Tests put a small model of their own behind the same protocol.
"""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from packer.errors import MachineError
from runtime.engine.adapters import AS_LOADED, Adapter, Scales
from runtime.engine.logprobs import TokenLogprobs
from runtime.engine.pictures import Positions
from runtime.llama.context import Row
from runtime.llama.errors import DecodeError, DecodeInterruptedError
from runtime.llama.logprobs import LogprobReader
from runtime.llama.projector import PictureRows
from runtime.llama.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.engine.embedding import Embedder
    from runtime.engine.pictures import PromptPicture
    from runtime.engine.sampling import SamplingParams
    from runtime.llama.context import Context
    from runtime.llama.embedder import LlamaEmbedder
    from runtime.llama.model import Model
    from runtime.llama.projector import Projector
    from runtime.prompt_states.stored import PromptState

MEBIBYTE = 1 << 20
SHORT_BYTES = 512 * MEBIBYTE
WARM_UP_TOKENS = 32


class TokenSampler(Protocol):
    """Chooses the tokens of one sequence; made and used by a :class:`ModelRunner`."""

    def close(self) -> None:
        """Release what the sampler holds."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The next tokens of one cached sequence, the first at ``position``; ``sampler`` is set if one is to follow.

    ``top_logprobs`` asks for the log probabilities of the one that follows and of so many likeliest ones.
    A ``picture`` is run in place of the tokens, which then are what stands for it, and is alone in its step.
    ``adapters`` are the same for all chunks of a step.
    """

    cache_id: int
    tokens: list[int]
    position: int
    sampler: TokenSampler | None
    top_logprobs: int | None = None
    picture: PromptPicture | None = None
    adapters: Scales = AS_LOADED


Sampled = int | TokenLogprobs | DecodeError | None
"""The next token, bare or with log probabilities; or why none can be chosen; or nothing, because none was wanted."""


@dataclass(frozen=True, kw_only=True)
class SavedState:
    """A copy of a cached sequence, for :meth:`ModelRunner.load`; ``data`` is writable memory of its own."""

    data: memoryview
    spans: tuple[tuple[int, int], ...] = ()


class ModelRunner(Protocol):
    """A loaded model with a KV cache. All but :meth:`interrupt` belong to the engine's thread."""

    @property
    def can_generate(self) -> bool:
        """Whether the model continues text; one that only embeds does not."""

    @property
    def adapters(self) -> Sequence[Adapter]:
        """The LoRA adapters that requests can choose from."""

    @property
    def embedder(self) -> Embedder | None:
        """What turns texts into vectors; ``None`` where the model can't."""

    @property
    def context_tokens(self) -> int:
        """The most tokens the KV cache ever holds, for all sequences together."""

    @property
    def num_cells(self) -> int:
        """Tokens the KV cache holds at its present size."""

    @property
    def least_cells(self) -> int:
        """The size that the KV cache began with and can go back to."""

    @property
    def batch_tokens(self) -> int:
        """The most tokens of one step."""

    @property
    def num_slots(self) -> int:
        """The most sequences of one step."""

    @property
    def num_cached(self) -> int:
        """The most sequences the KV cache keeps, at least ``num_slots``; their ids begin at 0."""

    def run(self, chunks: Sequence[Chunk]) -> list[Sampled]:
        """Run a step; return the next token of each chunk that has a sampler, or why none could be chosen.

        Raises DecodeError or DecodeInterruptedError; the cache may then hold some of the tokens.
        """

    def truncate(self, cache_id: int, num_tokens: int) -> bool:
        """Keep the first ``num_tokens`` of a cached sequence; ``False`` when it can't be cut and is now empty."""

    def copy(self, source_id: int, target_id: int, num_tokens: int) -> bool:
        """Let an empty sequence begin with ``num_tokens`` of another; ``False`` when it can't and stays empty."""

    @property
    def can_shift(self) -> bool:
        """Whether chats that outgrow the context are to lose their oldest part, which this memory allows."""

    def shift(self, cache_id: int, start: int, count: int) -> bool:
        """Forget ``count`` tokens from ``start`` on and move those behind forward.

        No other sequence may share them. ``False`` when it can't, and the sequence is now empty.
        """

    def resize(self, num_cells: int) -> bool:
        """Give the KV cache another size; ``False`` when its content is lost. Raises MachineError, changing nothing."""

    @property
    def packed_prompts(self) -> Sequence[Sequence[int]]:
        """The tokens of prompts that were read beforehand, which :meth:`restore` knows by their index."""

    def restore(self, cache_id: int, index: int) -> bool:
        """Let an empty sequence begin with a whole packed prompt; ``False`` when it can't and stays empty."""

    def save(self, cache_id: int) -> SavedState | None:
        """Copy a cached sequence; ``None`` when memory is short or this memory can't be copied."""

    def load(self, cache_id: int, state: SavedState) -> bool:
        """Let an empty sequence begin with all of a saved one; ``False`` when it can't and stays empty."""

    def warm_up(self, cache_id: int) -> None:
        """Touch all weights while nobody waits, so that the first request does not; :meth:`interrupt` ends it early.

        ``cache_id`` is an empty sequence, and empty again afterwards.
        """

    def is_memory_short(self) -> bool:
        """Tell whether other programs need the memory that an idle cache takes."""

    def start_sampler(self, params: SamplingParams, prompt: Sequence[int]) -> TokenSampler:
        """Make the sampler of a new sequence."""

    def piece(self, token: int) -> bytes:
        """Return the bytes a token adds to the text."""

    def is_end(self, token: int) -> bool:
        """Tell whether a token ends the reply."""

    def interrupt(self) -> None:
        """Make a running step end early; from any thread."""

    def clear_interrupt(self) -> None:
        """Allow steps again."""

    def close(self) -> None:
        """Free the cache and the model."""


class LlamaModelRunner:
    """The llama.cpp implementation of :class:`ModelRunner`."""

    can_generate = True

    def __init__(
        self,
        model: Model,
        context: Context,
        num_slots: int,
        embedder: LlamaEmbedder | None = None,
        *,
        context_tokens: int = 0,
        wants_shift: bool = False,
        free_bytes: Callable[[], int | None] = lambda: None,
        prompts: Sequence[PromptState] = (),
        projector: Projector | None = None,
    ) -> None:
        """Take over a model, its projector and a context made from it, which has at least ``num_slots`` sequences.

        The context may grow to ``context_tokens`` (0: not at all) while ``free_bytes`` of memory suffice. ``prompts``
        were read by the same model, into a context of the same kind.
        """
        self._prompts = prompts
        self.packed_prompts = [prompt.tokens for prompt in prompts]
        self.can_shift = wants_shift and context.can_shift
        self.shift = context.shift
        self.embedder = embedder
        self.model = model
        self.adapters = [Adapter(name=one.name, scale=one.scale) for one in model.adapters]
        self._context = context
        self._logprobs: LogprobReader | None = None
        self.context_tokens = max(context_tokens, context.num_tokens)
        self.least_cells = context.num_tokens
        self._free_bytes = free_bytes
        self.batch_tokens = context.batch_tokens
        self.num_slots = num_slots
        self.num_cached = context.num_sequences
        self.piece = model.vocab.piece
        self.is_end = model.vocab.is_end
        self._projector = projector
        self._positions = Positions()
        self.interrupt = context.interrupt
        self.clear_interrupt = context.clear_interrupt

    @property
    def num_cells(self) -> int:
        """The size of the context now."""
        return self._context.num_tokens

    def resize(self, num_cells: int) -> bool:
        """Make the context larger or smaller. Raises MachineError before the kernel has to kill somebody."""
        per_token, free = self.model.kv_bytes_per_token(self._context.kv_type), self._free_bytes()
        more = (per_token or 0) * (num_cells - self.num_cells)
        if free is not None and more > free:
            raise MachineError(
                f"the chats need a KV cache of {num_cells:,} tokens, {more // MEBIBYTE:,} MiB more than it takes now, "
                f"and {free // MEBIBYTE:,} MiB of memory are free; close other programs or end other chats"
            )
        is_kept = self._context.resize(num_cells)
        if not is_kept:
            self._positions.clear()
        return is_kept

    def truncate(self, cache_id: int, num_tokens: int) -> bool:
        """Keep the first ``num_tokens`` of a sequence."""
        is_kept = self._context.truncate(cache_id, self._positions.of(cache_id, num_tokens))
        self._positions.cut(cache_id, num_tokens if is_kept else 0)
        return is_kept

    def copy(self, source_id: int, target_id: int, num_tokens: int) -> bool:
        """Let an empty sequence begin as another does."""
        is_copied = self._context.copy(source_id, target_id, self._positions.of(source_id, num_tokens))
        self._positions.copy(source_id, target_id, num_tokens if is_copied else 0)
        return is_copied

    def restore(self, cache_id: int, index: int) -> bool:
        """Put the state of a packed prompt into the context, unless its bytes are not what was packed."""
        with self._prompts[index].opened() as state:
            return state is not None and self._context.restore_sequence(cache_id, state.address, state.size_bytes)

    def save(self, cache_id: int) -> SavedState | None:
        """Copy what the context remembers of a sequence, if that leaves enough memory to the others."""
        free = self._free_bytes()
        if free is not None and free < SHORT_BYTES + self._context.sequence_bytes(cache_id):
            return None
        try:
            data = self._context.save_sequence(cache_id)
        except DecodeError:
            return None
        return SavedState(data=data, spans=self._positions.spans(cache_id))

    def load(self, cache_id: int, state: SavedState) -> bool:
        """Put a copy back, where its pictures stand too."""
        address = ctypes.addressof(ctypes.c_uint8.from_buffer(state.data))
        if not self._context.restore_sequence(cache_id, address, len(state.data)):
            return False
        self._positions.put(cache_id, state.spans)
        return True

    def warm_up(self, cache_id: int) -> None:
        """Read a few tokens, whose failure is left to the first request to meet."""
        with contextlib.suppress(DecodeError, DecodeInterruptedError):
            tokens = [0] * min(WARM_UP_TOKENS, self._context.batch_tokens)
            self._context.decode([Row(sequence_id=cache_id, tokens=tokens, position=0, want_logits=False)])
        self._context.truncate(cache_id, 0)

    def is_memory_short(self) -> bool:
        """Tell whether less is free than an idle program should leave to the others."""
        free = self._free_bytes()
        return free is not None and free < SHORT_BYTES

    def run(self, chunks: Sequence[Chunk]) -> list[Sampled]:
        """Decode all chunks as one batch and sample from the last row of each that wants it."""
        self._context.use_adapters(chunks[0].adapters)
        if chunks[0].picture is not None:
            return [self._run_picture(chunks[0], chunks[0].picture)]
        rows = [
            Row(
                sequence_id=chunk.cache_id,
                tokens=chunk.tokens,
                position=self._positions.of(chunk.cache_id, chunk.position),
                want_logits=chunk.sampler is not None,
            )
            for chunk in chunks
        ]
        self._context.decode(rows)
        sampled: list[Sampled] = []
        last = -1
        for chunk in chunks:
            last += len(chunk.tokens)
            sampled.append(self._sample(chunk, last))
        return sampled

    def _run_picture(self, chunk: Chunk, picture: PromptPicture) -> Sampled:
        """Run the rows of a picture, and sample behind them if that is wanted."""
        if not isinstance(picture.rows, PictureRows):
            raise DecodeError("a picture was made for another kind of runner")
        position = self._positions.of(chunk.cache_id, chunk.position)
        last = self._context.decode_picture(
            chunk.cache_id, picture.rows, position, want_logits=chunk.sampler is not None
        )
        self._positions.add(chunk.cache_id, picture)
        return self._sample(chunk, last)

    def _sample(self, chunk: Chunk, row: int) -> Sampled:
        """Choose a token from the logits of ``row``; a failure concerns only the sequence of this chunk."""
        if not isinstance(chunk.sampler, Sampler):
            return None
        try:
            token = chunk.sampler.sample(self._context.pointer, row)
        except DecodeError as error:
            return error
        if chunk.top_logprobs is None:
            return token
        if self._logprobs is None:
            self._logprobs = LogprobReader(self.model.library.api, self.model.vocab.num_tokens)
        return self._logprobs.read(self._context.logits(row), token, chunk.top_logprobs)

    def start_sampler(self, params: SamplingParams, prompt: Sequence[int]) -> TokenSampler:
        """Make a sampler chain for a new sequence."""
        tokens = [token for token in prompt if token >= 0]
        return Sampler(self.model.library.api, self.model.vocab.num_tokens, params, tokens)

    def close(self) -> None:
        """Free context and model, in this order."""
        if self._logprobs is not None:
            self._logprobs.close()
        if self.embedder is not None:
            self.embedder.close()
        self._context.close()
        if self._projector is not None:
            self._projector.close()
        self.model.close()
