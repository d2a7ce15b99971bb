"""``packer build --quantize``: the same bytes as llama.cpp's own quantization, importance matrices, and bad input."""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
import time
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.support import models, program, reference
from tests.support.sparse_model import write_sparse_model

if TYPE_CHECKING:
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts

TENSOR = "blk.0.ffn_down.weight"
COLUMNS = 256
MEMORY_LIMIT_BYTES = 320 << 20
"""Three slabs of 64 MiB, and what Python, the libraries and the stacks of two threads take."""


def extracted_model(packed: Path, directory: Path) -> Path:
    """Take the model out of a packed file again."""
    done = program.packer("extract", packed, "-d", directory)
    assert done.returncode == 0, done.stderr
    return next((directory / "model").glob("*.gguf"))


@pytest.fixture(scope="module")
def plain_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with F16 weights."""
    directory = tmp_path_factory.mktemp("plain")
    done = program.packer("build", tiny_model, "--quantize", "F16", "--requantize", "-o", directory / "chat")
    assert done.returncode == 0, done.stderr
    return extracted_model(directory / "chat", directory)


def test_the_packed_weights_are_what_llama_cpp_makes(
    plain_model: Path, runtime_parts: RuntimeParts, runtime_cache: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "out" / "chat"
    packed.parent.mkdir()
    done = program.packer("build", plain_model, "--quantize", "q4_0", "-o", packed)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in packed.parent.iterdir()] == ["chat"]
    model = extracted_model(packed, tmp_path / "parts")
    assert model.name == "tiny-Q4_0.gguf"
    expected = tmp_path / "expected.gguf"
    reference.quantize(runtime_parts, plain_model, expected, "Q4_0")
    assert model.read_bytes() == expected.read_bytes()
    ids = program.Launcher(packed, runtime_cache).run(
        "-p", "Hello", "--raw", "--token-ids", "--max-tokens", "8", "--temperature", "0"
    )
    assert ids.stdout.strip() == str(reference.greedy_token_ids(runtime_parts, expected, "Hello", 8)), ids.stderr


def gguf_importance(path: Path) -> None:
    """Write an importance matrix in the GGUF form: two calls, and one column a hundred times as important."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, arch="imatrix")
    writer.add_type("imatrix")
    sums = np.full((1, COLUMNS), 2.0, dtype=np.float32)
    sums[0, 3] = 200.0
    writer.add_tensor(f"{TENSOR}.in_sum2", sums)
    writer.add_tensor(f"{TENSOR}.counts", np.full((1, 1), 2.0, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def binary_importance(path: Path) -> None:
    """Write the same in the older form."""
    values = [2.0] * COLUMNS
    values[3] = 200.0
    name = TENSOR.encode()
    path.write_bytes(
        struct.pack("<ii", 1, len(name)) + name + struct.pack("<ii", 2, COLUMNS) + struct.pack(f"<{COLUMNS}f", *values)
    )


def test_both_forms_of_an_importance_matrix_change_the_weights_alike(plain_model: Path, tmp_path: Path) -> None:
    gguf_importance(tmp_path / "gguf.imatrix")
    binary_importance(tmp_path / "binary.imatrix")
    results = {}
    for form in ("none", "gguf", "binary"):
        extra = [] if form == "none" else ["--imatrix", tmp_path / f"{form}.imatrix"]
        packed = tmp_path / f"chat-{form}"
        done = program.packer("build", plain_model, "--quantize", "Q4_0", *extra, "-o", packed)
        assert done.returncode == 0, done.stderr
        results[form] = extracted_model(packed, tmp_path / form).read_bytes()
    assert results["gguf"] == results["binary"]
    assert results["gguf"] != results["none"]


def limit_memory() -> None:
    """Let this process and its children allocate no more than that; pages of mapped files do not count."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))


@pytest.mark.parametrize("layers", [1, 3])
def test_the_same_memory_is_enough_for_a_model_of_any_size(layers: int, tmp_path: Path) -> None:
    size_bytes = write_sparse_model(tmp_path / "model.gguf", layers=layers, half=True)
    assert size_bytes > 1.3 * layers * MEMORY_LIMIT_BYTES
    wanted = ["--quantize", "Q4_K_M", "-o", tmp_path / "chat"]
    done = subprocess.run(
        [sys.executable, "-m", "packer", "build", tmp_path / "model.gguf", *wanted],
        env={**os.environ, "PYTHONPATH": str(program.CHECKOUT)},
        preexec_fn=limit_memory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "chat") as packed:
        sizes = [one.file_size for one in packed.infolist() if one.filename.endswith(".gguf")]
    assert len(sizes) == 1
    assert sizes[0] < 0.35 * size_bytes


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--quantize", "Q4_KM"], 3, "Q4_KM: is no quantization type; did you mean Q4_K_M?"),
        (["--quantize", "Q4_0"], 3, "are quantized already; start from F16 or F32, or add --requantize"),
        (["--quantize", "IQ2_XXS", "--requantize"], 3, "needs an importance matrix for its weights; give one with"),
        (["--imatrix", "x"], 2, "--imatrix needs --quantize TYPE"),
        (["--requantize"], 2, "--requantize needs --quantize TYPE"),
        (["--quantize", "Q4_0", "--requantize", "--imatrix", "absent"], 3, "absent: the importance matrix can't be"),
    ],
)
def test_what_can_not_be_done_is_one_sentence(
    arguments: list[str], code: int, words: str, tiny_model: Path, tmp_path: Path
) -> None:
    done = program.packer("build", tiny_model, *arguments, "-o", tmp_path / "chat")
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"\xff" * 64, b"\x01\0\0\0\x05\0\0\0abc", b"GGUF\x03\0\0\0" + b"\xff" * 40],
    ids=["counts", "cut", "gguf"],
)
def test_a_damaged_importance_matrix_is_refused(content: bytes, plain_model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.imatrix").write_bytes(content)
    done = program.packer(
        "build", plain_model, "--quantize", "Q4_0", "--imatrix", tmp_path / "bad.imatrix", "-o", tmp_path / "chat"
    )
    assert done.returncode == 3
    assert "is no importance matrix" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.imatrix"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_interrupted(stop: int, runtime_parts: RuntimeParts, tmp_path: Path) -> None:
    model = models.benchmark_model(runtime_parts, "Q4_K_M")
    process = subprocess.Popen(
        [sys.executable, "-m", "packer", "build", model, "--quantize", "Q8_0", "--requantize", "-o", tmp_path / "chat"],
        env={**os.environ, "PYTHONPATH": str(program.CHECKOUT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not list(tmp_path.glob(".chat.*/*.gguf")):
        time.sleep(0.005)
    process.send_signal(stop)
    assert process.wait(timeout=60) in {130, 143}
    assert list(tmp_path.iterdir()) == []
