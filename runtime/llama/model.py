"""Loads a model, either a GGUF file or one that stands inside a larger file, mapped in place.

llama.cpp reads the GGUF from the current position of a ``FILE*`` and maps the weights at their offset in that file
(llama.h, ``llama_model_load_from_file_ptr``). Extra buffer types are off: they repack weights into anonymous memory,
which would take the size of the model once more.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packer.errors import InputError, MachineError
from runtime.llama import native
from runtime.llama.kv_types import F16, KV_TYPES
from runtime.llama.placement import CPU_ONLY, apply_placement
from runtime.llama.vocab import Vocab

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.llama.library import Library
    from runtime.llama.placement import Placement

LOAD_MODE_MMAP = 1
DESCRIPTION_BYTES = 256
NON_CAUSAL = frozenset({"gemma-embedding", "t5encoder"})
"""Architectures whose attention looks both ways without their metadata saying so (llama.cpp's ``src/models``)."""

Progress = Callable[[float], bool]
"""Called with 0.0 to 1.0 while loading; returning ``False`` ends the attempt."""


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """Where a model's bytes are: at ``offset_bytes`` of ``path``; ``None`` means that ``path`` itself is the GGUF."""

    path: Path
    offset_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class AdapterFile:
    """A LoRA adapter: where its GGUF is, what it is called, and how strongly it is applied."""

    file: ModelFile
    name: str
    scale: float


class Model:
    """A loaded model. Close it after every context made from it."""

    def __init__(self, library: Library, pointer: int, stream: int | None) -> None:
        """Take over a ``llama_model *`` and the ``FILE *`` it came from; use :func:`load_model` to make one."""
        self.library = library
        self.pointer = pointer
        self._stream = stream
        self.adapters: list[AdapterFile] = []
        self._adapter_pointers: list[int] = []
        self.vocab = Vocab(library.api, library.api.llama_model_get_vocab(pointer))

    def load_adapter(self, adapter: AdapterFile) -> None:
        """Read an adapter into memory, for every context made from now on. Raises InputError or MachineError.

        llama.cpp reads it from the current position of a ``FILE *``, so one inside a larger file needs no copy.
        """
        path, offset = adapter.file.path, adapter.file.offset_bytes or 0
        self.library.log.clear()
        stream = _open_at(self.library.libc, path, offset)
        try:
            pointer = self.library.api.llama_adapter_lora_init_from_file_ptr(self.pointer, stream)
        finally:
            _fclose(self.library.libc, stream)
        if not pointer:
            raise InputError(f"{path}: the adapter {adapter.name} can't be used{self.library.log.explain()}")
        if self.library.api.llama_adapter_get_alora_n_invocation_tokens(pointer):
            raise InputError(f"{path}: the adapter {adapter.name} is one that certain tokens switch on (aLoRA)")
        self.adapters.append(adapter)
        self._adapter_pointers.append(pointer)

    def apply_adapters(self, context_pointer: int, scales: Sequence[float] = ()) -> None:
        """Let a context use the adapters, which are freed with the model. Raises MachineError.

        ``scales`` has one number for each, 0 for none of it; without any they are those that the adapters came with.
        """
        if not self.adapters:
            return
        api, scales = self.library.api, scales or [adapter.scale for adapter in self.adapters]
        used = [(pointer, scale) for pointer, scale in zip(self._adapter_pointers, scales, strict=True) if scale]
        kind, count = api.llama_adapter_lora_p_ctypes, len(used)
        pointers = (kind * count)(*(ctypes.cast(pointer, kind) for pointer, _scale in used))
        numbers = (ctypes.c_float * count)(*(scale for _pointer, scale in used))
        if api.llama_set_adapters_lora(context_pointer, pointers, count, numbers) != 0:
            raise MachineError("llama.cpp refuses to apply the adapters")

    def close(self) -> None:
        """Unmap the weights and close the file."""
        if self.pointer:
            self.vocab.close()
            self.library.api.llama_model_free(self.pointer)
            self.pointer = 0
        if self._stream:
            _fclose(self.library.libc, self._stream)
            self._stream = None

    @property
    def context_length(self) -> int:
        """Tokens the model was trained to handle."""
        return int(self.library.api.llama_model_n_ctx_train(self.pointer))

    @property
    def sliding_window(self) -> int:
        """Tokens of the attention window of models that have one, else 0."""
        return int(self.library.api.llama_model_n_swa(self.pointer))

    @property
    def is_causal(self) -> bool:
        """Whether a token sees only those before it."""
        architecture = self.metadata("general.architecture") or ""
        return architecture not in NON_CAUSAL and self.metadata(f"{architecture}.attention.causal") != "false"

    @property
    def can_generate(self) -> bool:
        """Whether the model continues text token by token; others only embed."""
        return self.is_causal and not self.is_unsupported and self.library.api.llama_model_has_decoder(self.pointer)

    @property
    def is_unsupported(self) -> bool:
        """Whether the model neither continues text nor embeds: encoder with decoder, or text diffusion."""
        api, pointer = self.library.api, self.pointer
        has_both = api.llama_model_has_encoder(pointer) and api.llama_model_has_decoder(pointer)
        return bool(has_both or api.llama_model_is_diffusion(pointer))

    @property
    def pooling(self) -> int | None:
        """How the model's maker pools the vectors of tokens (llama.h, ``llama_pooling_type``); ``None`` if unsaid."""
        text = self.metadata(f"{self.metadata('general.architecture') or ''}.pooling_type")
        return int(text) if text and text.isdecimal() else None

    @property
    def num_dimensions(self) -> int:
        """Length of an embedding."""
        return int(self.library.api.llama_model_n_embd_out(self.pointer))

    @property
    def has_state(self) -> bool:
        """Whether sequences have a recurrent state of fixed size, alone or beside a KV cache."""
        api = self.library.api
        return bool(api.llama_model_is_recurrent(self.pointer) or api.llama_model_is_hybrid(self.pointer))

    @property
    def description(self) -> str:
        """llama.cpp's one-line description, such as ``qwen2 0.5B Q4_K - Medium``."""
        buffer = ctypes.create_string_buffer(DESCRIPTION_BYTES)
        self.library.api.llama_model_desc(self.pointer, buffer, DESCRIPTION_BYTES)
        return buffer.value.decode("utf-8", "replace")

    def metadata(self, key: str) -> str | None:
        """Return a scalar metadata value as text, or ``None`` when the model has no such key."""
        size = 4096
        buffer = ctypes.create_string_buffer(size)
        length = self.library.api.llama_model_meta_val_str(self.pointer, key.encode(), buffer, size)
        return buffer.value.decode("utf-8", "replace") if length >= 0 else None

    @property
    def chat_template(self) -> str | None:
        """The model's own Jinja chat template, or ``None``."""
        template: bytes | None = self.library.api.llama_model_chat_template(self.pointer, None)
        return template.decode("utf-8", "replace") if template else None

    @property
    def tool_template(self) -> str | None:
        """The model's template for chats with tools, or ``None`` when it has one for everything."""
        template: bytes | None = self.library.api.llama_model_chat_template(self.pointer, b"tool_use")
        return template.decode("utf-8", "replace") if template else None

    def head_sizes(self) -> tuple[int, int]:
        """Return how many values a key and a value of one attention head have; zeros for models without attention."""
        architecture = self.metadata("general.architecture") or ""
        heads = int(self.library.api.llama_model_n_head(self.pointer))
        default = int(self.library.api.llama_model_n_embd(self.pointer)) // heads if heads > 0 else 0
        key = self.metadata(f"{architecture}.attention.key_length")
        value = self.metadata(f"{architecture}.attention.value_length")
        return int(key or default), int(value or default)

    def check_kv_type(self, kv_type: str) -> None:
        """Raise InputError when the model's heads can't be kept in a format of ``KV_TYPES``."""
        block = KV_TYPES[kv_type].block_values
        if block > 1 and self.metadata("general.architecture") == "grok":
            raise InputError(f"a KV cache in {kv_type} needs flash attention, which this model can't use; use f16")
        for what, size in zip(("keys", "values"), self.head_sizes(), strict=True):
            if size % block:
                raise InputError(
                    f"a KV cache in {kv_type} holds blocks of {block} numbers, and the {what} of this model's "
                    f"attention heads have {size}; use f16"
                )

    def kv_bytes_per_token(self, kv_type: str = F16) -> int | None:
        """Estimate the bytes of KV cache for one token; ``None`` for architectures with another kind of memory."""
        api, pointer = self.library.api, self.pointer
        architecture = self.metadata("general.architecture") or ""
        special = (
            self.sliding_window
            or api.llama_model_is_recurrent(pointer)
            or api.llama_model_is_hybrid(pointer)
            or self.metadata(f"{architecture}.attention.kv_lora_rank")
        )
        heads = int(api.llama_model_n_head(pointer))
        if special or heads <= 0:
            return None
        num_values = int(api.llama_model_n_layer(pointer)) * int(api.llama_model_n_head_kv(pointer))
        return KV_TYPES[kv_type].size_bytes(num_values * sum(self.head_sizes()))


def load_model(
    library: Library,
    file: ModelFile,
    progress: Progress | None = None,
    placement: Placement = CPU_ONLY,
    *,
    repack: bool = False,
) -> Model:
    """Load ``file``; with ``repack``, weights are copied in the order that this processor reads fastest.

    Raises InputError (not a usable model) or MachineError (the file can't be opened or mapped).
    """
    api = library.api
    callback = api.llama_progress_callback(lambda value, _data: progress is None or progress(value))
    params = api.llama_model_default_params()
    kept = apply_placement(
        params, placement, max_devices=int(api.llama_max_devices()), cpu_buffer_type=cpu_buffer_type(library)
    )
    params.load_mode = LOAD_MODE_MMAP
    params.use_extra_bufts = repack
    params.progress_callback = callback
    library.log.clear()
    stream = None
    if file.offset_bytes is None:
        _check_readable(file.path)
        pointer = api.llama_model_load_from_file(os.fsencode(file.path), params)
    else:
        stream = _open_at(library.libc, file.path, file.offset_bytes)
        pointer = api.llama_model_load_from_file_ptr(stream, params)
    kept.clear()
    if pointer:
        return Model(library, pointer, stream)
    if stream:
        _fclose(library.libc, stream)
    raise InputError(f"{file.path}: the model can't be loaded{library.log.explain()}")


def cpu_buffer_type(library: Library) -> int | None:
    """Return ggml's buffer type of plain memory, for tensors that are to stay there."""
    get = library.base.ggml_backend_cpu_buffer_type
    get.argtypes, get.restype = [], ctypes.c_void_p
    pointer: int | None = get()
    return pointer


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{path}: can't be opened ({error.strerror}); check the path and its permissions") from error


def _open_at(libc: ctypes.CDLL, path: Path, offset_bytes: int) -> int:
    """Return a ``FILE *`` of ``path`` positioned at ``offset_bytes``."""
    stream = native.open_stream(libc, path)
    if not stream:
        _check_readable(path)
        raise MachineError(f"{path}: the C library can't open it")
    if not native.seek_stream(libc, stream, offset_bytes):
        _fclose(libc, stream)
        raise MachineError(f"{path}: can't seek to the model at byte {offset_bytes}")
    return stream


def _fclose(libc: Any, stream: int) -> None:
    libc.fclose.argtypes, libc.fclose.restype = [ctypes.c_void_p], ctypes.c_int
    libc.fclose(stream)
