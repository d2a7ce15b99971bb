"""``--quantize``: writes a GGUF with smaller weights, by llama.cpp. What ``packer build --quantize`` runs.

Weights are read, converted and written in slabs of at most ``SLAB_BYTES``, so the memory it takes does not grow with
the model (llama.h, ``llama_model_quantize_params.max_buf_size``).
"""

from __future__ import annotations

import ctypes
import difflib
import json
import os
import re
import signal
from typing import TYPE_CHECKING, Any

from packer.errors import InputError, OutputError
from runtime.importance import load_importance
from runtime.report import say

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.importance import Importance
    from runtime.llama.library import Library

SLAB_BYTES = 64 << 20
ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
TYPE_PREFIXES = ("LLAMA_FTYPE_MOSTLY_", "LLAMA_FTYPE_ALL_")
PROGRESS_LINE = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")


def quantization_types(api: Any) -> dict[str, int]:
    """Every type that this llama.cpp can write, by its usual name, such as ``Q4_K_M``."""
    return {
        name.removeprefix(prefix): getattr(api, name)
        for prefix in TYPE_PREFIXES
        for name in dir(api)
        if name.startswith(prefix)
    }


def find_type(api: Any, wanted: str) -> int:
    """Return llama.cpp's number of a type. Raises InputError with the nearest names."""
    types = quantization_types(api)
    name = wanted.upper()
    name = ALIASES.get(name, name)
    if name in types:
        return types[name]
    near = difflib.get_close_matches(name, types, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise InputError(f"{wanted}: is no quantization type; {hint}llama.cpp knows {', '.join(sorted(types))}")


def quantize(
    library: Library, source: Path, output: Path, wanted: str, *, importance_path: Path | None, again: bool
) -> None:
    """Write ``source`` with weights of type ``wanted`` to ``output``; one JSON line of progress for each tensor.

    ``again`` allows weights that are quantized already. Raises InputError or OutputError with llama.cpp's reason.
    """
    api = library.api
    params = api.llama_model_quantize_default_params()
    params.ftype = find_type(api, wanted)
    params.nthread = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    params.allow_requantize = again
    params.max_buf_size = SLAB_BYTES
    held = _attach(api, params, load_importance(library, importance_path)) if importance_path else None
    callback = api.llama_log_callback(lambda level, text, _data: _receive(library, level, text))
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # llama.cpp would not return before it is done
    library.log.clear()
    api.llama_log_set(callback, None)
    try:
        failed = api.llama_model_quantize(os.fsencode(source), os.fsencode(output), ctypes.byref(params))
    finally:
        api.llama_log_set(library.log_callback, None)
    del held
    if failed:
        _explain(library, source, output)


def _attach(api: Any, params: Any, importance: Importance) -> list[Any]:
    """Hand an importance matrix over; the result must live as long as ``params`` is used."""
    entries = (api.llama_model_imatrix_data * (len(importance) + 1))()
    pointer = ctypes.POINTER(ctypes.c_float)
    held: list[Any] = [entries]
    for entry, (name, values) in zip(entries, importance.items(), strict=False):
        buffer = (ctypes.c_float * len(values)).from_buffer(values)
        entry.name, entry.data, entry.size = name.encode(), ctypes.cast(buffer, pointer), len(values)
        held.append(buffer)
    params.imatrix = entries
    return held


def _receive(library: Library, level: int, text: bytes | None) -> None:
    match = PROGRESS_LINE.match((text or b"").decode("utf-8", "replace"))
    if match:
        say(json.dumps({"tensor": int(match[1]), "tensors": int(match[2])}))
    library.log.receive(level, text)


def _explain(library: Library, source: Path, output: Path) -> None:
    errors = " ".join(library.log.errors())
    if "requantizing from type" in errors:
        raise InputError(f"{source}: its weights are quantized already; start from F16 or F32, or add --requantize")
    if "Missing importance matrix" in errors or "requires an imatrix" in errors:
        raise InputError(f"{source}: this type needs an importance matrix for its weights; give one with --imatrix")
    if "iostream" in errors or "basic_ios" in errors:
        raise OutputError(f"{output}: can't be written; is the disk full?")
    raise InputError(f"{source}: can't be quantized{library.log.explain()}")
