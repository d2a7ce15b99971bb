"""The runner of models that only embed: no KV cache, no slots, nothing to generate with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.llama.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.engine.model_runner import Chunk, Sampled, SavedState, TokenSampler
    from runtime.engine.sampling import SamplingParams
    from runtime.llama.embedder import LlamaEmbedder
    from runtime.llama.model import Model


class EmbeddingOnlyRunner:
    """Implements :class:`runtime.engine.model_runner.ModelRunner` for a model that the engine lets nobody chat with."""

    can_generate = False
    batch_tokens = 1
    num_slots = 0
    num_cached = 0
    can_shift = False
    num_cells = 0
    least_cells = 0
    packed_prompts = ()
    adapters = ()

    def __init__(self, model: Model, embedder: LlamaEmbedder) -> None:
        """Take over a model and make its context. Raises MachineError when memory does not suffice."""
        self.model = model
        self.embedder = embedder
        self.context_tokens = embedder.max_input_tokens
        self.piece = model.vocab.piece
        self.is_end = model.vocab.is_end
        embedder.open()

    def run(self, chunks: Sequence[Chunk]) -> list[Sampled]:
        """Refuse."""
        raise DecodeError("this model only embeds")

    def truncate(self, cache_id: int, num_tokens: int) -> bool:
        """Hold nothing."""
        return num_tokens == 0

    def copy(self, source_id: int, target_id: int, num_tokens: int) -> bool:
        """Hold nothing."""
        return False

    def shift(self, cache_id: int, start: int, count: int) -> bool:
        """Hold nothing."""
        return False

    def resize(self, num_cells: int) -> bool:
        """Hold nothing."""
        return True

    def restore(self, cache_id: int, index: int) -> bool:
        """Hold nothing."""
        return False

    def save(self, cache_id: int) -> None:
        """Hold nothing."""

    def load(self, cache_id: int, state: SavedState) -> bool:
        """Hold nothing."""
        return False

    def warm_up(self, cache_id: int) -> None:
        """Nothing to warm."""

    def is_memory_short(self) -> bool:
        """Give nothing back."""
        return False

    def start_sampler(self, params: SamplingParams, prompt: Sequence[int]) -> TokenSampler:
        """Refuse."""
        raise DecodeError("this model only embeds")

    def interrupt(self) -> None:
        """Nothing but the embedder runs, and the engine stops that itself."""

    def clear_interrupt(self) -> None:
        """Nothing to clear."""

    def close(self) -> None:
        """Free context and model, in this order."""
        self.embedder.close()
        self.model.close()
