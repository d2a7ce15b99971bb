"""llama.cpp by itself, for comparison: the binding's low-level API on a bare GGUF, in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from packer.toolchain.frozen import BINDING_MODULES

if TYPE_CHECKING:
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts

LOAD = """
import ctypes, json, os, sys
import llama_cpp.llama_cpp as L
import llama_cpp._ggml as G
silent = L.llama_log_callback(lambda *_: None)
L.llama_log_set(silent, None)
G.libggml.ggml_backend_load_all_from_path(os.environ["BINDING_LIBRARIES"].encode())
L.llama_backend_init()
"""

GREEDY = """
path, prompt, count = sys.argv[1].encode(), sys.argv[2].encode(), int(sys.argv[3])
params = L.llama_model_default_params()
params.use_extra_bufts = os.path.getsize(path) > 16_000_000  # as the program does where memory is plenty
model = L.llama_model_load_from_file(path, params)
vocab = L.llama_model_get_vocab(model)
settings = L.llama_context_default_params()
settings.n_ctx = 1024
settings.n_threads = settings.n_threads_batch = 2
context = L.llama_init_from_model(model, settings)
tokens = (L.llama_token * 1000)()
n = L.llama_tokenize(vocab, prompt, len(prompt), tokens, 1000, True, True)
assert n > 0
sampler = L.llama_sampler_init_greedy()
ids, batch = [], L.llama_batch_get_one(tokens, n)
while len(ids) < count:
    assert L.llama_decode(context, batch) == 0
    token = L.llama_sampler_sample(sampler, context, -1)
    if L.llama_vocab_is_eog(vocab, token):
        break
    ids.append(token)
    one = (L.llama_token * 1)(token)
    batch = L.llama_batch_get_one(one, 1)
print(json.dumps(ids))
"""

ALL_LOGITS = """
path, wanted = sys.argv[1].encode(), json.loads(sys.argv[2])
model = L.llama_model_load_from_file(path, L.llama_model_default_params())
vocab = L.llama_model_get_vocab(model)
settings = L.llama_context_default_params()
settings.n_ctx = 1024
settings.n_threads = settings.n_threads_batch = 1
context = L.llama_init_from_model(model, settings)
rows, count = [], L.llama_vocab_n_tokens(vocab)
for token in wanted:
    one = (L.llama_token * 1)(token)
    assert L.llama_decode(context, L.llama_batch_get_one(one, 1)) == 0
    rows.append(L.llama_get_logits_ith(context, -1)[:count])
print(json.dumps(rows))
"""

EMBED = """
path, inputs, pooling = sys.argv[1].encode(), json.loads(sys.argv[2]), int(sys.argv[3])
model = L.llama_model_load_from_file(path, L.llama_model_default_params())
settings = L.llama_context_default_params()
settings.n_ctx = settings.n_batch = settings.n_ubatch = 1024
settings.n_threads = settings.n_threads_batch = 1
settings.embeddings, settings.pooling_type = True, pooling
vectors = []
for tokens in inputs:
    context = L.llama_init_from_model(model, settings)
    batch = L.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for index, token in enumerate(tokens):
        batch.token[index], batch.pos[index], batch.n_seq_id[index] = token, index, 1
        batch.seq_id[index][0], batch.logits[index] = 0, 1
    assert L.llama_decode(context, batch) == 0
    vectors.append(L.llama_get_embeddings_seq(context, 0)[:L.llama_model_n_embd_out(model)])
    L.llama_free(context)
print(json.dumps(vectors))
"""

QUANTIZE = """
params = L.llama_model_quantize_default_params()
params.ftype = getattr(L, "LLAMA_FTYPE_MOSTLY_" + sys.argv[3])
params.nthread = os.cpu_count()
assert L.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(params)) == 0
"""


def staged_binding(parts: RuntimeParts) -> Path:
    """A directory to put on PYTHONPATH: the binding's low-level modules with the libraries of the runtime."""
    root = parts.tree.parent / "reference"
    package = root / "llama_cpp"
    if not package.exists():
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("", encoding="utf-8")
        for name in BINDING_MODULES:
            shutil.copy(parts.tools.sources.llama_cpp_python / "llama_cpp" / name, package)
        shutil.copytree(parts.tree / "_internal" / "llama_cpp" / "lib", package / "lib", dirs_exist_ok=True)
    return root


def run_with_binding(parts: RuntimeParts, program: str, *arguments: object) -> str:
    """Run a short program against the binding and return what it printed."""
    root = staged_binding(parts)
    libraries = str(root / "llama_cpp" / "lib")
    done = subprocess.run(
        [sys.executable, "-c", LOAD + program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(root), "BINDING_LIBRARIES": libraries},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def greedy_token_ids(parts: RuntimeParts, model: Path, prompt: str, count: int) -> list[int]:
    """The first ``count`` tokens that llama.cpp itself gives for ``prompt`` at temperature 0."""
    return [int(token) for token in json.loads(run_with_binding(parts, GREEDY, model, prompt, count))]


def logits_after_each(parts: RuntimeParts, model: Path, tokens: list[int]) -> list[list[float]]:
    """The logits, one row of ``(n_vocab,)`` for each token, that llama.cpp itself gives, read one token at a time."""
    rows: list[list[float]] = json.loads(run_with_binding(parts, ALL_LOGITS, model, json.dumps(tokens)))
    return rows


def embeddings(parts: RuntimeParts, model: Path, inputs: list[list[int]], pooling: int) -> list[list[float]]:
    """The vectors, not normalized, that llama.cpp itself gives, each input alone in a context of its own."""
    vectors: list[list[float]] = json.loads(run_with_binding(parts, EMBED, model, json.dumps(inputs), pooling))
    return vectors


def quantize(parts: RuntimeParts, source: Path, destination: Path, quantization: str) -> None:
    """Quantize a GGUF through the binding."""
    run_with_binding(parts, QUANTIZE, source, destination, quantization)
