"""Brings a model into memory: weights, context, prompt encoder. Runs in the engine's thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from packer.errors import InputError, MachineError
from runtime.devices.attempts import Demand
from runtime.devices.report import PICTURES_NOT_LOADED
from runtime.engine.embedding_runner import EmbeddingOnlyRunner
from runtime.engine.model_runner import LlamaModelRunner
from runtime.engine.scheduler import GROWTH_STEP
from runtime.llama.context import Context, Row
from runtime.llama.embedder import LlamaEmbedder
from runtime.llama.errors import DecodeError
from runtime.llama.kv_types import F16
from runtime.llama.model import ModelFile, load_model
from runtime.llama.placement import Placement
from runtime.llama.projector import Projector
from runtime.memory import available_bytes
from runtime.pictures import PictureReader
from runtime.prompt import LlamaPromptEncoder
from runtime.prompt_states.stored import open_prompts
from runtime.settings import ContextChoice, choose_context
from runtime.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runtime.devices.attempts import Attempt, ModelPlacing
    from runtime.devices.report import DeviceReport
    from runtime.engine.model_runner import ModelRunner
    from runtime.llama.library import Library
    from runtime.llama.model import AdapterFile, Model
    from runtime.prompt import PromptEncoder
    from runtime.prompt_states.stored import PromptFiles, PromptState

_LOG = logging.getLogger(__name__)

BATCH_TOKENS = 512
MODEL_SHARE = 0.95
MEBIBYTE = 1 << 20
MAX_SLOTS = 8
MAX_DEVICE_SLOTS = 32
"""A GPU reads all weights for each step and computes many rows in the time that takes."""
SMALLER_KV_TYPE = "q8_0"
SLOT_TOKENS = 1024
SMALL_SLOT_TOKENS = 256
SMALL_SLOTS = 4
FIRST_CELLS = 2048
"""Clearing a KV cache takes longer than loading the weights: 1.1 GB for 16,384 tokens of a 0.5B model."""

IDLE_SEQUENCES = 8
"""Sequences kept in the KV cache beyond those in work, for the beginnings they share with later requests."""


def demand_of(context_size: int, kv_type: str, *, shift: bool, projector: ModelFile | None = None) -> Demand:
    """Return what a model is to be loaded with.

    A KV cache of halves may shrink to eight bits where more of the model fits on a GPU so, unless chats are shifted.
    """
    kv_types = (kv_type, SMALLER_KV_TYPE) if kv_type == F16 and not shift else (kv_type,)
    return Demand(context_size=context_size, batch_tokens=BATCH_TOKENS, kv_types=kv_types, projector=projector)


def first_cells(least: int, prompts: Sequence[PromptState]) -> int:
    """Return the size that the KV cache begins with: enough for the longest packed prompt and a short chat."""
    longest = max((len(prompt.tokens) for prompt in prompts), default=0)
    return max(least, -(-(longest + SLOT_TOKENS) // GROWTH_STEP) * GROWTH_STEP if longest else 0)


def choose_slots(context_tokens: int, *, on_device: bool = False) -> int:
    """Return how many requests to work on together: 8 from a context of 8,192 tokens on, 4 from 1,024 on.

    On a GPU it is twice as many for each context, and up to 32.
    """
    wanted = context_tokens // (SLOT_TOKENS // 2 if on_device else SLOT_TOKENS)
    most = MAX_DEVICE_SLOTS if on_device else MAX_SLOTS
    return max(1, min(most, max(wanted, min(SMALL_SLOTS, context_tokens // SMALL_SLOT_TOKENS))))


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
        adapters: Sequence[AdapterFile] = (),
        projector: ModelFile | None = None,
        kv_type: str = F16,
        context_shift: bool = False,
        repack: bool = False,
        first_cells: int = FIRST_CELLS,
        free_bytes: Callable[[], int | None] = available_bytes,
        placing: ModelPlacing | None = None,
        prompts: PromptFiles | None = None,
        timings: Timings | None = None,
        on_device: Callable[[DeviceReport], None] = lambda _report: None,
        on_failure: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        """Prepare to load ``file`` with a context of ``context_size`` tokens (0: the model's limit).

        ``num_slots`` is the most requests worked on at the same time; 0 lets the size of the context decide. The KV
        cache begins with ``first_cells`` and grows as the chats need it. Without ``placing`` it is the CPU that
        computes; ``on_device`` hears what does, when the model is loaded. ``prompts`` were read beforehand.
        ``on_failure`` is called with an error that nobody foresaw, by the thread that has a picture read.
        """
        self._library = library
        self._file = file
        self._context_size = context_size
        self._num_threads = num_threads
        self._num_slots = num_slots
        self._adapters = adapters
        self._projector = projector
        self._kv_type = kv_type
        self._context_shift = context_shift
        self._repack = repack
        self._first_cells = first_cells
        self._free_bytes = free_bytes
        self._placing = placing
        self._prompts = prompts
        self._timings = timings or Timings()
        self._on_device = on_device
        self._on_failure = on_failure
        self._projector_left_device = False
        self.encoder: PromptEncoder | None = None
        self.context: ContextChoice | None = None

    def load(self, progress: Callable[[float], bool]) -> ModelRunner:
        """Load everything, on a device if one is chosen and has room. Raises InputError or MachineError."""
        if self._placing is None:
            return self._load(Placement(kv_type=self._kv_type), progress, self._free_bytes)
        demand = demand_of(self._context_size, self._kv_type, shift=self._context_shift, projector=self._projector)
        attempts = iter(self._placing.attempts(self._library, self._file, demand))
        while (attempt := self._next_attempt(attempts)) is not None:
            free_bytes = _unlimited if attempt.everything_on_device else self._free_bytes
            try:
                with self._placing.guard(self._library, attempt):
                    runner = self._load(attempt.placement, progress, free_bytes)
            except (InputError, MachineError, DecodeError) as error:
                if not attempt.on_device or not progress(0.0):
                    raise
                _LOG.info("%s: %s", attempt.report.name, error)
                continue
            lost = self._projector_left_device
            self._on_device(attempt.report.also(PICTURES_NOT_LOADED) if lost else attempt.report)
            return runner
        raise RuntimeError("there was no attempt on the CPU")

    def _next_attempt(self, attempts: Iterator[Attempt]) -> Attempt | None:
        with self._timings.part("looking for devices"):
            return next(attempts, None)

    def _load(
        self, placement: Placement, progress: Callable[[float], bool], free_bytes: Callable[[], int | None]
    ) -> ModelRunner:
        prompts = open_prompts(self._prompts, placement.kv_type)
        with self._timings.part("model"):
            model = self._open_model(placement, progress)
        context, projector = None, None
        try:
            choice = choose_context(self._context_size, model.context_length)
            first_size = min(choice.size_tokens, first_cells(self._first_cells, prompts))
            _check_memory(model, first_size, placement.kv_type, free_bytes())
            if self._projector is not None and model.can_generate:
                projector = self._open_projector(model, self._projector, placement.projector_device)
            with self._timings.part("chat template"):
                pictures = None if projector is None else PictureReader(projector, on_failure=self._on_failure)
                encoder = LlamaPromptEncoder(model, pictures)
            embedder = self._embedder(model, choice.size_tokens)
            if embedder is not None and not model.can_generate:
                self.encoder, self.context = encoder, choice
                return EmbeddingOnlyRunner(model, embedder)
            on_device = bool(placement.devices) and not model.has_state
            slots = self._num_slots or choose_slots(choice.size_tokens, on_device=on_device)
            with self._timings.part("context"), encoder.looking_through_vocabulary():
                context = Context(
                    model,
                    num_tokens=first_size,
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
            if projector is not None:
                projector.close()
            model.close()
            raise
        self.encoder, self.context = encoder, choice
        if self._context_shift and not context.can_shift:
            reason = "this model's memory" if context.kv_type == F16 else f"a KV cache in {context.kv_type}"
            _LOG.warning("%s can't be shifted: chats end where the context does", reason)
        return LlamaModelRunner(
            model,
            context,
            slots,
            embedder,
            context_tokens=choice.size_tokens,
            wants_shift=self._context_shift,
            free_bytes=free_bytes,
            prompts=prompts,
            projector=projector,
        )

    def _open_model(self, placement: Placement, progress: Callable[[float], bool]) -> Model:
        """Load the weights and the adapters. Raises InputError or MachineError."""
        model = load_model(
            self._library, self._file, lambda value: progress(value * MODEL_SHARE), placement, repack=self._repack
        )
        try:
            if model.is_unsupported:
                raise InputError(
                    f"{self._file.path}: models of the kind {model.metadata('general.architecture')} do not continue "
                    "text token by token; this program can't run them"
                )
            for adapter in self._adapters:
                model.load_adapter(adapter)
        except BaseException:
            model.close()
            raise
        return model

    def _open_projector(self, model: Model, file: ModelFile, device: int | None) -> Projector:
        """Load the projector, on the CPU where the device does not take it. Raises InputError or MachineError."""
        self._projector_left_device = False
        if device is not None:
            try:
                return Projector(model, file, num_threads=self._num_threads, device=device)
            except InputError as error:
                _LOG.info("%s", error)
        projector = Projector(model, file, num_threads=self._num_threads)
        self._projector_left_device = device is not None
        return projector

    def _embedder(self, model: Model, context_tokens: int) -> LlamaEmbedder | None:
        """Prepare embeddings, ``None`` for a chat model that gives none. Raises InputError for one of no use here."""
        try:
            return LlamaEmbedder(model, context_tokens=context_tokens, num_threads=self._num_threads)
        except InputError:
            if not model.can_generate:
                raise
            return None


def _check_memory(model: Model, num_tokens: int, kv_type: str, free: int | None) -> None:
    """Refuse a KV cache that is larger than all the memory there is: the kernel would kill the process."""
    per_token = model.kv_bytes_per_token(kv_type)
    if per_token is None or free is None or per_token * num_tokens <= free:
        return
    raise MachineError(
        f"a context of {num_tokens:,} tokens needs {per_token * num_tokens // MEBIBYTE:,} MiB of memory and "
        f"{free // MEBIBYTE:,} MiB are free; use --ctx-size {max(256, free // per_token // 2 // 256 * 256)}"
    )


def _unlimited() -> int | None:
    """Of plain memory a cache on a device takes none."""
    return None


def _try_out(context: Context) -> None:
    """Compute one token: a device that can't fails here, where there is still a way out."""
    context.decode([Row(sequence_id=0, tokens=[0], position=0, want_logits=True)])
    context.truncate(0, 0)
