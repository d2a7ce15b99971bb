"""One measurement of :mod:`tests.bench.native`: MODEL and the CPU library, or a directory to choose the best one from.

Prints tokens a second of a prompt and of generation as JSON. Run as a script, with only the binding on the path.
"""

from __future__ import annotations

import ctypes
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

PROMPT_TOKENS = 512
SHORT_PROMPT_TOKENS = 100
GENERATED_TOKENS = 100
NUM_THREADS = 2


def main() -> None:
    """Measure. The prompt is read three times and the fastest is taken: the first reading fills caches."""
    import llama_cpp.llama_cpp as api
    from llama_cpp import _ggml

    silent = api.llama_log_callback(lambda *_: None)
    api.llama_log_set(silent, None)
    libraries = Path(sys.argv[2])
    if libraries.is_dir():
        _ggml.libggml.ggml_backend_load_all_from_path(str(libraries).encode())
    else:
        _ggml.libggml.ggml_backend_load.restype = ctypes.c_void_p
        if not _ggml.libggml.ggml_backend_load(str(libraries).encode()):
            raise SystemExit(f"{libraries}: not loaded")
    api.llama_backend_init()
    context, memory = _context(api, sys.argv[1])
    sampler = api.llama_sampler_init_greedy()
    chosen = random.Random(1)
    prompt = (api.llama_token * PROMPT_TOKENS)(*(chosen.randrange(1000, 90000) for _ in range(PROMPT_TOKENS)))

    def read(tokens: object, count: int) -> tuple[float, int]:
        started = time.perf_counter()
        if api.llama_decode(context, api.llama_batch_get_one(tokens, count)) != 0:
            raise SystemExit("a batch failed")
        token = int(api.llama_sampler_sample(sampler, context, -1))
        return time.perf_counter() - started, token

    prompt_s = []
    for _ in range(3):
        api.llama_memory_clear(memory, True)
        prompt_s.append(read(prompt, PROMPT_TOKENS)[0])
    api.llama_memory_clear(memory, True)
    _, token = read(prompt, SHORT_PROMPT_TOKENS)
    step_s = []
    for _ in range(GENERATED_TOKENS):
        duration_s, token = read((api.llama_token * 1)(token), 1)
        step_s.append(duration_s)
    figures = {"prompt": PROMPT_TOKENS / min(prompt_s), "generation": 1 / statistics.median(step_s)}
    sys.stdout.write(json.dumps(figures))


def _context(api: Any, model_path: str) -> tuple[Any, Any]:
    """A context like the engine's, on rearranged weights, and its memory."""
    model_params = api.llama_model_default_params()
    model_params.use_extra_bufts = True
    params = api.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = 4096, PROMPT_TOKENS, PROMPT_TOKENS
    params.n_threads = params.n_threads_batch = NUM_THREADS
    params.no_perf = True
    context = api.llama_init_from_model(api.llama_model_load_from_file(model_path.encode(), model_params), params)
    return context, api.llama_get_memory(context)


if __name__ == "__main__":
    main()
