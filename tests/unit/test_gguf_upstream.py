"""The GGUF tables and rules against the pinned llama.cpp itself: its sources, and its parser in the built runtime."""

from __future__ import annotations

import ctypes
import pickle
import re
import struct
from typing import TYPE_CHECKING

import pytest

from packer.errors import InputError
from packer.gguf import inspect_model, model_source
from packer.gguf.architectures import KNOWN_ARCHITECTURES
from packer.gguf.tensor_types import FILE_TYPES, TENSOR_TYPES
from tests.support.gguf_files import (
    BASICS,
    STRING,
    TENSORS,
    UINT16,
    UINT32,
    UINT64,
    Tensor,
    array,
    model_bytes,
    pair,
    split_model,
)

if TYPE_CHECKING:
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts


class InitParams(ctypes.Structure):
    """``struct gguf_init_params`` of gguf.h."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))


@pytest.fixture(scope="session")
def ggml(runtime_parts: RuntimeParts) -> ctypes.CDLL:
    """libggml-base of the runtime under test."""
    library = ctypes.CDLL(str(next(runtime_parts.tree.rglob("libggml-base.so*"))))
    library.ggml_type_size.restype = ctypes.c_size_t
    library.ggml_blck_size.restype = ctypes.c_int64
    library.ggml_type_name.restype = ctypes.c_char_p
    library.gguf_init_from_file.restype = ctypes.c_void_p
    library.gguf_init_from_file.argtypes = [ctypes.c_char_p, InitParams]
    library.gguf_free.argtypes = [ctypes.c_void_p]
    return library


def test_architectures(runtime_parts: RuntimeParts) -> None:
    source = (runtime_parts.tools.sources.llama_cpp / "src" / "llama-arch.cpp").read_text()
    names = set(re.findall(r'\{\s*LLM_ARCH_\w+,\s*"([^"]+)"\s*\}', source)) - {"clip", "(unknown)"}
    assert len(names) > 100
    assert names == KNOWN_ARCHITECTURES


def test_tensor_types(runtime_parts: RuntimeParts, ggml: ctypes.CDLL) -> None:
    header = (runtime_parts.tools.sources.llama_cpp / "ggml" / "include" / "ggml.h").read_text()
    count = int(re.findall(r"GGML_TYPE_COUNT\s*=\s*(\d+)", header)[0])
    usable = {number for number in range(count) if ggml.ggml_blck_size(number) > 0}
    assert usable == set(TENSOR_TYPES)
    for number, kind in TENSOR_TYPES.items():
        assert ggml.ggml_type_name(number).decode().upper() == kind.name
        assert (ggml.ggml_blck_size(number), ggml.ggml_type_size(number)) == (kind.block_elements, kind.block_bytes)


def test_file_types(runtime_parts: RuntimeParts) -> None:
    header = (runtime_parts.tools.sources.llama_cpp / "include" / "llama.h").read_text()
    found = re.findall(r"^\s*LLAMA_FTYPE_(?:ALL|MOSTLY)_(\w+)\s*=\s*(\d+)", header, re.MULTILINE)
    assert len(found) > 30
    assert {int(number): name for name, number in found} == FILE_TYPES


LAST = Tensor(name="last", shape=(8,), data=bytes(32))
CASES = {
    "alignment of 64 bits": model_bytes([*BASICS, pair("general.alignment", UINT64, 32)]),
    "alignment of 16 bits": model_bytes([*BASICS, pair("general.alignment", UINT16, 32)]),
    "alignment of 48": model_bytes([*BASICS, pair("general.alignment", UINT32, 48)]),
    "shape that overflows": model_bytes(tensors=[Tensor(shape=(2**40, 2**40), data=b"")]),
    "shape that overflows and is empty": model_bytes(tensors=[Tensor(shape=(2**40, 2**40, 0), data=b"")]),
    "same tensor twice": model_bytes(tensors=[LAST, LAST]),
    "gap between tensors": model_bytes(tensors=[LAST, Tensor(offset=64)]),
    "tensor not aligned": model_bytes(tensors=[LAST, Tensor(offset=33)]),
    "same key twice": model_bytes([*BASICS, BASICS[0]]),
    "empty key": model_bytes([*BASICS, pair("", UINT32, 1)]),
    "long tensor name": model_bytes(tensors=[Tensor(name="x" * 64)]),
    "five dimensions": model_bytes(tensors=[Tensor(shape=(32, 4, 1, 1, 1))]),
    "removed tensor type": model_bytes(tensors=[Tensor(type_id=31)]),
    "tensor type of the future": model_bytes(tensors=[Tensor(type_id=43)]),
    "array of arrays": model_bytes(
        [*BASICS, array("a", UINT32, []).replace(struct.pack("<IQ", 4, 0), struct.pack("<IQ", 9, 0))]
    ),
    "version 1": model_bytes(version=1),
    "version 4": model_bytes(version=4),
    "big-endian": model_bytes(version=0x03000000),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_parser_refuses_is_refused_here(case: str, ggml: ctypes.CDLL, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(CASES[case])
    assert not ggml.gguf_init_from_file(str(path).encode(), InitParams(True, None)), "the parser accepts it"
    with pytest.raises(InputError):
        inspect_model(path)


def test_what_the_parser_accepts(ggml: ctypes.CDLL, tmp_path: Path) -> None:
    """Guards the test above: the file that its cases are changes of is sound for both."""
    path = tmp_path / "m.gguf"
    path.write_bytes(model_bytes([*BASICS, pair("general.alignment", UINT32, 32)], TENSORS))
    found = ggml.gguf_init_from_file(str(path).encode(), InitParams(True, None))
    assert found
    ggml.gguf_free(found)
    assert inspect_model(path).num_tensors == len(TENSORS)


@pytest.mark.parametrize(("number", "name"), [(15, "Q4_K_M"), (41, "Q2_0"), (1024, "F32"), (4, "F32")])
def test_names_of_file_types(number: int, name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    pairs = [found for found in BASICS if b"general.file_type" not in found]
    path.write_bytes(model_bytes([*pairs, pair("general.file_type", UINT32, number)]))
    assert inspect_model(path).quantization == name


def test_an_importance_matrix_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(model_bytes([*BASICS, pair("general.type", STRING, "imatrix")]))
    with pytest.raises(InputError, match="importance matrix"):
        inspect_model(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_are_recognized(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(pickle.dumps({"weights": [1.0]}, protocol=protocol))
    with pytest.raises(InputError, match="Python pickle"):
        inspect_model(path)


def test_all_bad_parts_are_told_at_once(tmp_path: Path) -> None:
    whole = tmp_path / "m.gguf"
    whole.write_bytes(model_bytes(tensors=[Tensor(name=name) for name in ("a", "b", "c")]))
    parts = split_model(whole, tmp_path, 3)
    for part in (parts[0], parts[2]):
        part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(InputError) as caught:
        inspect_model(parts[1])
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(parts[0]), str(parts[2])]
    assert all("is cut short" in line for line in lines)
    parts[0].write_bytes(b"<html>")
    parts[2].write_bytes(b"")
    for refuse in (inspect_model, model_source):
        with pytest.raises(InputError) as caught:
            refuse(parts[1])
        assert len(str(caught.value).splitlines()) == 2
