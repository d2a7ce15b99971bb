"""What ``inspect_model`` says about a model, and the one sentence it gives for each file that can't be packed."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import time
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Any

import gguf
import pytest

from packer.errors import InputError
from packer.gguf import ModelInfo, inspect_model, model_source
from packer.gguf.header import MAX_HEADER_BYTES, ArrayValue, read_header
from packer.gguf.tensor_types import TENSOR_TYPES
from tests.support.gguf_files import (
    ARRAY,
    BASICS,
    BOOL,
    CODES,
    FLOAT32,
    INT32,
    Q2_0,
    Q4_0,
    Q4_K,
    Q8_0,
    STRING,
    TENSORS,
    UINT8,
    UINT32,
    UINT64,
    Tensor,
    array,
    header_bytes,
    model_bytes,
    pair,
    text,
    written_bytes,
)

if TYPE_CHECKING:
    from pathlib import Path

ARCHITECTURE = pair("general.architecture", STRING, "llama")
FAST_S = 2.0


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def refusal(path: Path) -> str:
    """The message with which ``path`` is refused: one line that names it."""
    with pytest.raises(InputError) as caught:
        inspect_model(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def refusal_of(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return refusal(path)


class TestSoundModels:
    def test_the_tiny_model(self, tiny_model: Path) -> None:
        reader = gguf.GGUFReader(tiny_model)
        assert inspect_model(tiny_model) == ModelInfo(
            name="Tiny model",
            architecture="llama",
            use="chat",
            quantization="Q8_0",
            num_parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
            num_tensors=len(reader.tensors),
            context_length=2048,
            num_layers=4,
            vocab_size=len(reader.fields["tokenizer.ggml.tokens"].data),
            has_chat_template=True,
            size_bytes=tiny_model.stat().st_size,
            split_count=1,
        )

    @pytest.mark.parametrize("version", [2, 3])
    def test_a_hand_made_model(self, model: Path, version: int) -> None:
        content = model_bytes(version=version)
        model.write_bytes(content)
        assert inspect_model(model) == ModelInfo(
            name="Hand made",
            architecture="llama",
            use="chat",
            quantization="F16",
            num_parameters=32 * 4 + 30,
            num_tensors=2,
            context_length=4096,
            num_layers=12,
            vocab_size=3,
            has_chat_template=True,
            size_bytes=len(content),
            split_count=1,
        )

    def test_a_model_that_says_next_to_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "some model.gguf"
        path.write_bytes(model_bytes([ARCHITECTURE], [Tensor(type_id=Q8_0, shape=(32, 2), data=bytes(68))]))
        info = inspect_model(path)
        assert (info.name, info.quantization, info.num_parameters) == ("some model", "Q8_0", 64)
        assert (info.context_length, info.num_layers, info.vocab_size, info.has_chat_template) == (0, 0, 0, False)

    @pytest.mark.parametrize(
        ("architecture", "pairs", "use"),
        [
            ("bert", [("attention.causal", BOOL, False)], "embeddings"),
            ("qwen3", [("attention.causal", BOOL, True)], "chat"),
            ("gemma-embedding", [], "embeddings"),
            ("llama", [], "chat"),
        ],
    )
    def test_what_a_model_is_for(self, model: Path, architecture: str, pairs: list[Any], use: str) -> None:
        named = [pair("general.architecture", STRING, architecture)]
        named += [pair(f"{architecture}.{key}", kind, value) for key, kind, value in pairs]
        model.write_bytes(model_bytes(named))
        assert inspect_model(model).use == use

    def test_the_quantization_of_most_weights_stands_in_for_an_unknown_file_type(self, model: Path) -> None:
        pairs = [ARCHITECTURE, pair("general.file_type", UINT32, 777)]
        tensors = [Tensor(name="norm"), Tensor(name="big", type_id=Q4_K, shape=(256, 2), data=bytes(288))]
        model.write_bytes(model_bytes(pairs, tensors))
        assert inspect_model(model).quantization == "Q4_K"

    def test_a_type_newer_than_the_gguf_package(self, model: Path) -> None:
        tensors = [Tensor(type_id=Q2_0, shape=(64, 16), data=bytes(288)), Tensor(name="next")]
        model.write_bytes(model_bytes(BASICS, tensors))
        assert inspect_model(model).num_parameters == 64 * 16 + 128

    def test_a_name_is_shown_on_one_printable_line(self, model: Path) -> None:
        name = "Evil\x1b[2J\nname\u202e" + "x" * 1000
        model.write_bytes(model_bytes([ARCHITECTURE, pair("general.name", STRING, name)]))
        shown = inspect_model(model).name
        assert shown.startswith("Evil [2J name x")
        assert shown.isprintable()
        assert len(shown) <= 200

    def test_text_that_is_not_utf8_is_shown_as_well_as_can_be(self, model: Path) -> None:
        model.write_bytes(model_bytes([ARCHITECTURE, pair("general.name", STRING, b"caf\xe9")]))
        assert inspect_model(model).name == "caf\ufffd"

    def test_values_of_another_type_are_taken_as_absent(self, model: Path) -> None:
        pairs = [
            ARCHITECTURE,
            pair("general.name", UINT32, 3),
            pair("general.file_type", STRING, "Q4_0"),
            pair("llama.context_length", STRING, "4096"),
            pair("llama.block_count", INT32, -4),
            pair("tokenizer.ggml.tokens", STRING, "a b"),
            pair("tokenizer.chat_template", BOOL, True),
        ]
        model.write_bytes(model_bytes(pairs))
        info = inspect_model(model)
        assert (info.name, info.quantization, info.vocab_size, info.has_chat_template) == ("model", "F32", 0, False)
        assert (info.context_length, info.num_layers) == (0, 0)

    def test_the_data_may_end_without_padding(self, model: Path) -> None:
        padding = -len(TENSORS[-1].data) % 32
        assert padding > 0
        model.write_bytes(model_bytes()[:-padding])
        assert inspect_model(model).num_tensors == 2

    def test_a_tensor_without_dimensions_is_one_number(self, model: Path) -> None:
        model.write_bytes(model_bytes(BASICS, [Tensor(shape=(), data=bytes(4)), Tensor(name="b")]))
        assert inspect_model(model).num_parameters == 1 + 128

    def test_an_empty_tensor(self, model: Path) -> None:
        model.write_bytes(model_bytes(BASICS, [Tensor(shape=(0, 7), data=b""), Tensor(name="b")]))
        assert inspect_model(model).num_parameters == 128

    @pytest.mark.parametrize("alignment", [1, 8, 64, 4096])
    def test_another_alignment(self, model: Path, alignment: int) -> None:
        pairs = [*BASICS, pair("general.alignment", UINT32, alignment)]
        model.write_bytes(model_bytes(pairs, alignment=alignment))
        assert inspect_model(model).num_tensors == 2
        header = read_header(model)
        assert header.data_offset_bytes == -(-header_bytes(pairs) // alignment) * alignment

    def test_a_single_file_is_packed_as_it_is(self, model: Path) -> None:
        model.write_bytes(model_bytes())
        source = model_source(model)
        assert written_bytes(source) == model.read_bytes()
        assert source.size_bytes == model.stat().st_size


class TestHeaderValues:
    @pytest.mark.parametrize("kind", sorted(CODES))
    def test_every_scalar_type(self, model: Path, kind: int) -> None:
        value = {BOOL: True, FLOAT32: 0.5}.get(kind, 100)
        model.write_bytes(model_bytes([pair("a", kind, value), array("b", kind, [value] * 3), pair("c", UINT32, 7)]))
        header = read_header(model)
        assert header.get("a") == value
        assert header.get("b") == ArrayValue(element_type=kind, count=3)
        assert (header.get("c"), header.get("d"), header.get("d", 5)) == (7, None, 5)

    def test_pairs_are_kept_as_they_stand_in_the_file(self, model: Path) -> None:
        model.write_bytes(model_bytes())
        assert [found.raw for found in read_header(model).pairs] == list(BASICS)

    def test_tensors(self, model: Path) -> None:
        model.write_bytes(model_bytes())
        first, second = read_header(model).tensors
        assert (first.name, first.shape, first.type_id, first.offset_bytes) == ("token_embd.weight", (32, 4), 0, 0)
        assert (second.name, second.shape, second.offset_bytes) == ("output_norm.weight", (30,), 512)

    def test_strings_longer_than_the_window_that_is_read_at_once(self, model: Path) -> None:
        words = ["x" * length for length in (0, 1, 300_000, 7, 262_136, 262_144, 0, 524_289)]
        pairs = [array("words", STRING, words), pair("long", STRING, "y" * 700_000), pair("last", UINT8, 9)]
        model.write_bytes(model_bytes(pairs))
        header = read_header(model)
        assert [found.raw for found in header.pairs] == pairs
        assert (len(header.get("long")), header.get("last")) == (700_000, 9)
        assert [tensor.name for tensor in header.tensors] == [tensor.name for tensor in TENSORS]

    def test_many_short_strings_across_windows(self, model: Path) -> None:
        words = [f"token {index}" * (index % 5) for index in range(100_000)]
        pairs = [array("words", STRING, words), pair("last", UINT8, 9)]
        model.write_bytes(model_bytes(pairs))
        header = read_header(model)
        assert header.get("words") == ArrayValue(element_type=STRING, count=len(words))
        assert [found.raw for found in header.pairs] == pairs


def test_the_tensor_types_agree_with_the_gguf_package() -> None:
    # Q8_1 is a type of computed activations: the package still has the size it had before ggml made it smaller.
    shared = {kind: sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items() if kind.name != "Q8_1"}
    assert len(shared) > 30
    for kind, sizes in shared.items():
        assert (TENSOR_TYPES[kind].name, TENSOR_TYPES[kind][1:]) == (kind.name, sizes)


class TestNotGguf:
    def test_a_missing_file(self, model: Path) -> None:
        assert refusal(model) == "the model can't be read: no such file"
        with pytest.raises(InputError, match="no such file"):
            model_source(model)

    def test_a_dangling_link(self, model: Path) -> None:
        model.symlink_to("nowhere")
        assert "no such file" in refusal(model)

    def test_a_directory(self, tmp_path: Path) -> None:
        assert "is a directory; give the GGUF file inside it" in refusal(tmp_path)

    def test_a_name_too_long_for_the_file_system(self, tmp_path: Path) -> None:
        assert "can't be read" in refusal(tmp_path / ("x" * 300))
        assert "can't be read" in refusal(tmp_path / ("x" * 300 + "-00001-of-00002.gguf"))

    def test_a_pipe_is_refused_without_waiting_for_it(self, model: Path) -> None:
        os.mkfifo(model)
        assert "is a pipe or a device" in refusal(model)

    def test_an_empty_file(self, model: Path) -> None:
        assert "is empty" in refusal_of(model, b"")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"<!DOCTYPE html><html>Not found</html>", "a web page"),
            (b"\n<!doctype HTML>", "a web page"),
            (b"<html><body>429</body></html>", "a web page"),
            (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
            (b"\x7fELF\x02\x01\x01" + bytes(100), "packer inspect"),
            (b"MZ\x90" + bytes(100), "packer inspect"),
            (b"\x80\x02}q\x00." + bytes(100), "a Python pickle"),
            (b"tjgg\x03\0\0\0" + bytes(100), "from before GGUF"),
            (b"lmgg" + bytes(100), "from before GGUF"),
            (b"ggjt", "it starts with 'ggjt'"),
            (b"G", "it starts with 'G'"),
            (b"GGU", "it starts with 'GGU'"),
            (b"gguf" + bytes(40), "it starts with 'gguf"),
            (random.Random(1).randbytes(4096), "it starts with '"),
            (bytes(4096), "it starts with '"),
        ],
    )
    def test_other_files(self, model: Path, content: bytes, words: str) -> None:
        message = refusal_of(model, content)
        assert message.startswith("is not a GGUF model")
        assert words in message

    def test_a_zip_archive(self, model: Path) -> None:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("data.pkl", b"x")
        assert "a ZIP archive" in refusal_of(model, stream.getvalue())

    def test_a_safetensors_file(self, model: Path) -> None:
        header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        message = refusal_of(model, struct.pack("<Q", len(header)) + header + bytes(4))
        assert "a safetensors file; convert it with" in message

    @pytest.mark.parametrize(
        ("version", "words"),
        [
            (0, "is GGUF version 0"),
            (1, "is GGUF version 1, which can't be used: version 2 or 3 is expected"),
            (99, "is GGUF version 99"),
            (2**32 - 1, "is GGUF version 4294967295"),
            (0x03000000, "it is big-endian"),
            (0x02000000, "it is big-endian"),
        ],
    )
    def test_versions(self, model: Path, version: int, words: str) -> None:
        message = refusal_of(model, model_bytes(version=version))
        assert words in message
        assert "convert the model again" in message


class TestOtherKinds:
    @pytest.mark.parametrize(
        ("pairs", "words"),
        [
            ([pair("general.name", STRING, "x")], "does not say its architecture"),
            ([pair("general.architecture", UINT32, 1)], "does not say its architecture"),
            ([pair("general.architecture", STRING, "lama")], "'lama', which this llama.cpp does not know; the nearest"),
            ([pair("general.architecture", STRING, "qwen33")], "the nearest known is qwen3"),
            ([pair("general.architecture", STRING, "zzzzzzzzzz")], "does not know"),
            ([pair("general.architecture", STRING, "a\x1b[0m\n")], "'a\\x1b[0m\\n'"),
            ([pair("general.architecture", STRING, "clip")], "is a projector (mmproj), not a model"),
            ([ARCHITECTURE, pair("general.type", STRING, "mmproj")], "is a projector (mmproj), not a model"),
            ([ARCHITECTURE, pair("general.type", STRING, "adapter")], "is a LoRA adapter, not a model"),
        ],
    )
    def test_what_can_not_chat(self, model: Path, pairs: list[bytes], words: str) -> None:
        assert words in refusal_of(model, model_bytes(pairs))

    def test_a_vocabulary(self, model: Path) -> None:
        assert "holds a vocabulary only, no weights" in refusal_of(model, model_bytes(BASICS, []))

    def test_an_endless_architecture_is_refused_fast(self, model: Path) -> None:
        content = model_bytes([pair("general.architecture", STRING, "x" * 5_000_000)])
        started = time.monotonic()
        assert len(refusal_of(model, content)) < 500
        assert time.monotonic() - started < FAST_S


class TestCutShort:
    def test_at_every_length_of_the_header(self, model: Path) -> None:
        content = model_bytes()
        for size_bytes in range(4, header_bytes()):
            message = refusal_of(model, content[:size_bytes])
            assert message.startswith("ends inside its header (reading ")
            assert f"of {size_bytes})" in message
            assert "get the file again" in message

    def test_inside_the_data(self, model: Path) -> None:
        content = model_bytes()
        needed = len(content) - -len(TENSORS[-1].data) % 32
        for size_bytes in (header_bytes(), header_bytes() + 40, needed - 1):
            message = refusal_of(model, content[:size_bytes])
            assert f"is cut short: its tensors need {needed:,} bytes and it has {size_bytes:,}" in message

    def test_the_tiny_model(self, model: Path, tiny_model: Path) -> None:
        content = tiny_model.read_bytes()
        assert "is cut short" in refusal_of(model, content[: len(content) // 2])
        assert "ends inside its header" in refusal_of(model, content[:5000])


class TestUnsound:
    @pytest.mark.parametrize(
        ("tensors", "words"),
        [
            ([Tensor(), Tensor()], "the tensor token_embd.weight stands in it twice"),
            ([Tensor(offset=32)], "starts at byte 32 of the data, expected 0"),
            ([Tensor(), Tensor(name="b", offset=0)], "tensor b starts at byte 0 of the data, expected 512"),
            ([Tensor(), Tensor(name="b", offset=513)], "tensor b starts at byte 513"),
            ([Tensor(), Tensor(name="b", offset=2**64 - 32)], "tensor b starts at byte 18446744073709551584"),
            ([Tensor(type_id=4)], "has the type 4, which this llama.cpp does not know"),
            ([Tensor(type_id=2**32 - 1)], "has the type 4294967295"),
            ([Tensor(type_id=Q4_0, shape=(33, 2))], "rows of 33 elements, expected a multiple of 32 for Q4_0"),
            ([Tensor(type_id=Q4_K, shape=(128, 4))], "rows of 128 elements, expected a multiple of 256 for Q4_K"),
            ([Tensor(shape=(1, 2, 3, 4, 5))], "has 5 dimensions, the most is 4"),
            ([Tensor(shape=(2**62, 2**62, 2**62))], "has the shape (4611686018427387904, "),
            ([Tensor(shape=(2**63, 0))], "has the shape (9223372036854775808, 0)"),
            ([Tensor(name="x" * 64)], "a tensor name claims to be 64 bytes long, the most is 63"),
            ([Tensor(name="")], "a tensor name is ''"),
            ([Tensor(name=b"a\xff")], "a tensor name is not UTF-8"),
            ([Tensor(name="a\x1b[31m")], "a tensor name is 'a\\x1b[31m'"),
        ],
    )
    def test_tensors(self, model: Path, tensors: list[Tensor], words: str) -> None:
        assert words in refusal_of(model, model_bytes(BASICS, tensors))

    @pytest.mark.parametrize("alignment", [0, 3, 48, 2**17, 2**32 - 1])
    def test_a_bad_alignment(self, model: Path, alignment: int) -> None:
        message = refusal_of(model, model_bytes([*BASICS, pair("general.alignment", UINT32, alignment)]))
        assert f"general.alignment is {alignment}, expected a power of two" in message

    @pytest.mark.parametrize("value", [pair("general.alignment", STRING, "32"), pair("general.alignment", BOOL, True)])
    def test_an_alignment_that_is_no_number(self, model: Path, value: bytes) -> None:
        assert "general.alignment is" in refusal_of(model, model_bytes([*BASICS, value]))

    @pytest.mark.parametrize(
        ("broken", "words"),
        [
            (BASICS[0], "the metadata key general.architecture stands in it twice"),
            (text("k") + struct.pack("<I", 13), "k has the unknown value type 13"),
            (text("k") + struct.pack("<IIQ", ARRAY, 13, 0), "k is an array of the value type 13"),
            (text("k") + struct.pack("<IIQIQ", ARRAY, ARRAY, 1, UINT8, 0), "k is an array of the value type 9"),
            (pair("", UINT8, 1), "a metadata key is ''"),
            (pair(b"\xff", UINT8, 1), "a metadata key is not UTF-8"),
            (pair("a\nb", UINT8, 1), "a metadata key is 'a\\nb'"),
            (pair("k" * 65536, UINT8, 1), "a metadata key claims to be 65536 bytes long"),
            (text("k" * 65535) + struct.pack("<I", 13), "k has the unknown value type 13"),
        ],
    )
    def test_metadata(self, model: Path, broken: bytes, words: str) -> None:
        message = refusal_of(model, model_bytes([*BASICS, broken]))
        assert message.startswith("is not a sound GGUF file: ")
        assert words in message
        assert len(message) < 500


class TestLies:
    """Files that claim more than they hold, which must cost neither time nor memory."""

    def refused_cheaply(self, path: Path) -> str:
        tracemalloc.start()
        started = time.monotonic()
        try:
            message = refusal(path)
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()
        assert time.monotonic() - started < FAST_S
        return message

    @pytest.mark.parametrize("count", [3, 2**16, 2**31, 2**63, 2**64 - 1])
    @pytest.mark.parametrize("what", ["num_pairs", "num_tensors"])
    def test_counts(self, model: Path, what: str, count: int) -> None:
        model.write_bytes(model_bytes([ARCHITECTURE], **{what: count}))
        message = self.refused_cheaply(model)
        assert (f"it claims {count} " in message or f"and {count} tensors" in message) == (count > 2**16)

    @pytest.mark.parametrize("length", [10_000, 2**26, 2**26 + 1, 2**40, 2**64 - 1])
    def test_lengths_of_strings(self, model: Path, length: int) -> None:
        for start in (b"", text("k") + struct.pack("<I", STRING)):
            model.write_bytes(model_bytes([ARCHITECTURE, start + struct.pack("<Q", length)]))
            message = self.refused_cheaply(model)
            assert "ends inside its header" in message or f"claims to be {length} bytes long" in message

    @pytest.mark.parametrize("kind", [UINT8, UINT64, STRING])
    @pytest.mark.parametrize("count", [10_000, 2**31, 2**61, 2**64 - 1])
    def test_counts_of_arrays(self, model: Path, kind: int, count: int) -> None:
        values = ["a"] if kind == STRING else [1]
        model.write_bytes(model_bytes([ARCHITECTURE, array("k", kind, values, count=count)]))
        assert "ends inside its header" in self.refused_cheaply(model)

    @pytest.mark.parametrize("length", [100_000, 2**40, 2**63, 2**64 - 1])
    def test_lengths_of_strings_in_arrays(self, model: Path, length: int) -> None:
        broken = array("k", STRING, ["a", "b"], count=3) + struct.pack("<Q", length)
        model.write_bytes(model_bytes([ARCHITECTURE, broken]))
        assert "ends inside its header" in self.refused_cheaply(model)

    def test_an_array_longer_than_any_header(self, model: Path) -> None:
        model.write_bytes(model_bytes([ARCHITECTURE, array("k", UINT8, [], count=MAX_HEADER_BYTES)]))
        os.truncate(model, 2**40)
        assert f"its header goes on after {MAX_HEADER_BYTES} bytes" in self.refused_cheaply(model)

    def test_more_strings_than_the_longest_header_could_hold(self, model: Path) -> None:
        model.write_bytes(model_bytes([ARCHITECTURE, array("k", STRING, [], count=2**36)]))
        os.truncate(model, 2**40)
        assert f"its header goes on after {MAX_HEADER_BYTES} bytes" in self.refused_cheaply(model)

    def test_many_names_of_which_two_are_equal(self, model: Path) -> None:
        names = [f"key {index}" for index in range(40_000)]
        model.write_bytes(model_bytes([pair(name, UINT8, 0) for name in [*names, names[-1]]]))
        started = time.monotonic()
        assert "key 39999 stands in it twice" in refusal(model)
        assert time.monotonic() - started < FAST_S
