"""Brings a model into memory: weights, context, prompt encoder. Runs in the engine's thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from packer.errors import InputError, MachineError
from runtime.engine.model_runner import LlamaModelRunner
from runtime.llama.context import Context, Row
from runtime.llama.errors import DecodeError
from runtime.llama.model import ModelFile, load_model
from runtime.llama.placement import CPU_ONLY
from runtime.memory import available_bytes
from runtime.prompt import LlamaPromptEncoder
from runtime.settings import ContextChoice, choose_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.devices.attempts import ModelPlacing
    from runtime.devices.report import DeviceReport
    from runtime.llama.library import Library
    from runtime.llama.model import Model
    from runtime.llama.placement import Placement
    from runtime.prompt import PromptEncoder

_LOG = logging.getLogger(__name__)

BATCH_TOKENS = 512
MODEL_SHARE = 0.95
MEBIBYTE = 1 << 20
MAX_SLOTS = 8
SLOT_TOKENS = 1024
SMALL_SLOT_TOKENS = 256
SMALL_SLOTS = 4
IDLE_SEQUENCES = 8
"""Sequences kept in the KV cache beyond those in work, for the beginnings they share with later requests."""


def choose_slots(context_tokens: int) -> int:
    """Return how many requests to work on together: 8 from a context of 8,192 tokens on, 4 from 1,024 on."""
    wanted = context_tokens // SLOT_TOKENS
    return max(1, min(MAX_SLOTS, max(wanted, min(SMALL_SLOTS, context_tokens // SMALL_SLOT_TOKENS))))


class ModelLoader:
    """Loads one model; ``encoder`` and ``context`` are set once :meth:`load` has returned."""

    def __init__(
        self,
        library: Library,
        file: ModelFile,
        *,
        context_size: int,
        num_threads: int,
        num_slots: int = 0,
        free_bytes: Callable[[], int | None] = available_bytes,
        placing: ModelPlacing | None = None,
        on_device: Callable[[DeviceReport], None] = lambda _report: None,
    ) -> None:
        """Prepare to load ``file`` with a context of ``context_size`` tokens (0: the model's limit).

        ``num_slots`` is the most requests worked on at the same time; 0 lets the size of the context decide. Without
        ``placing`` it is the CPU that computes. ``on_device`` hears what does, when the model is loaded.
        """
        self._library = library
        self._file = file
        self._context_size = context_size
        self._num_threads = num_threads
        self._num_slots = num_slots
        self._free_bytes = free_bytes
        self._placing = placing
        self._on_device = on_device
        self.encoder: PromptEncoder | None = None
        self.context: ContextChoice | None = None

    def load(self, progress: Callable[[float], bool]) -> LlamaModelRunner:
        """Load everything, on a device if one is chosen and has room. Raises InputError or MachineError."""
        if self._placing is None:
            return self._load(CPU_ONLY, progress, cache_in_memory=True)
        attempts = self._placing.attempts(
            self._library, self._file, context_size=self._context_size, batch_tokens=BATCH_TOKENS
        )
        for attempt in attempts:
            try:
                with self._placing.guard(attempt):
                    runner = self._load(attempt.placement, progress, cache_in_memory=not attempt.everything_on_device)
            except (InputError, MachineError, DecodeError) as error:
                if not attempt.on_device or not progress(0.0):
                    raise
                _LOG.info("%s: %s", attempt.report.name, error)
                continue
            self._on_device(attempt.report)
            return runner
        raise RuntimeError("there was no attempt on the CPU")

    def _load(
        self, placement: Placement, progress: Callable[[float], bool], *, cache_in_memory: bool
    ) -> LlamaModelRunner:
        model = load_model(self._library, self._file, lambda value: progress(value * MODEL_SHARE), placement)
        context = None
        try:
            choice = choose_context(self._context_size, model.context_length)
            if cache_in_memory:
                self._check_memory(model, choice.size_tokens)
            encoder = LlamaPromptEncoder(model)
            slots = self._num_slots or choose_slots(choice.size_tokens)
            context = Context(
                model,
                num_tokens=choice.size_tokens,
                batch_tokens=BATCH_TOKENS,
                num_threads=self._num_threads,
                # States of recurrent models are large, so none is kept for an idle sequence beyond the slots.
                num_sequences=slots + (0 if model.has_state else IDLE_SEQUENCES),
                kv_type=placement.kv_type,
            )
            if placement.devices:
                _try_out(context)
        except BaseException:
            if context is not None:
                context.close()
            model.close()
            raise
        self.encoder, self.context = encoder, choice
        return LlamaModelRunner(model, context, slots)

    def _check_memory(self, model: Model, num_tokens: int) -> None:
        """Refuse a KV cache that is larger than all the memory there is: the kernel would kill the process."""
        per_token, free = model.kv_bytes_per_token(), self._free_bytes()
        if per_token is None or free is None or per_token * num_tokens <= free:
            return
        raise MachineError(
            f"a context of {num_tokens:,} tokens needs {per_token * num_tokens // MEBIBYTE:,} MiB of memory and "
            f"{free // MEBIBYTE:,} MiB are free; use --ctx-size {max(256, free // per_token // 2 // 256 * 256)}"
        )


def _try_out(context: Context) -> None:
    """Compute one token: a device that can't fails here, where there is still a way out."""
    context.decode([Row(sequence_id=0, tokens=[0], position=0, want_logits=True)])
    context.truncate(0, 0)
