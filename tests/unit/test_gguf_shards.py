"""Split models: found whole from any part, merged into the tensors they were made of, refused when mixed up."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import gguf
import numpy as np
import pytest

from packer.errors import InputError
from packer.gguf import inspect_model, model_source
from packer.gguf.header import read_header
from packer.gguf.shards import find_shards, name_stem
from tests.support.gguf_files import (
    BASICS,
    F16,
    STRING,
    UINT16,
    UINT32,
    Tensor,
    model_bytes,
    pair,
    part_path,
    split_model,
    split_pairs,
    written_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NUM_PARTS = 3


@pytest.fixture
def whole(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model under a name of its own."""
    return shutil.copy(tiny_model, tmp_path / "tiny.gguf")


@pytest.fixture
def parts(whole: Path, tmp_path: Path) -> list[Path]:
    """The tiny model in three parts."""
    directory = tmp_path / "parts"
    directory.mkdir()
    return split_model(whole, directory, NUM_PARTS)


def merged(part: Path, path: Path) -> Path:
    """Write the model that ``part`` belongs to as one file."""
    path.write_bytes(written_bytes(model_source(part)))
    return path


def assert_same_model(found: Path, expected: Path) -> None:
    """Compare with llama.cpp's own Python reader: metadata byte for byte, tensors, their order and data."""
    ours, theirs = gguf.GGUFReader(found), gguf.GGUFReader(expected)
    assert [tensor.name for tensor in ours.tensors] == [tensor.name for tensor in theirs.tensors]
    for mine, original in zip(ours.tensors, theirs.tensors, strict=True):
        assert mine.tensor_type == original.tensor_type
        assert mine.shape.tolist() == original.shape.tolist()
        assert np.array_equal(mine.data, original.data)
    assert metadata(ours) == metadata(theirs)


def metadata(reader: gguf.GGUFReader) -> dict[str, bytes]:
    return {
        field.name: b"".join(part.tobytes() for part in field.parts)
        for field in reader.fields.values()
        if not field.name.startswith("GGUF.")
    }


def refusals(paths: Sequence[Path]) -> set[str]:
    """How inspecting and packing refuse a model, whichever part is given: both must say the same."""
    messages = set()
    for path in paths:
        for action in (inspect_model, model_source):
            with pytest.raises(InputError) as caught:
                action(path)
            messages.add(str(caught.value))
    return messages


def write_parts(directory: Path, groups: Sequence[Sequence[Tensor]], num_tensors: int | None = None) -> list[Path]:
    """Hand-made parts that hold ``groups`` of tensors; ``num_tensors`` is what they claim, when not the truth."""
    total = sum(len(group) for group in groups) if num_tensors is None else num_tensors
    paths = [part_path(directory, "m", index + 1, len(groups)) for index in range(len(groups))]
    for index, (path, group) in enumerate(zip(paths, groups, strict=True)):
        pairs = [*(BASICS if index == 0 else ()), *split_pairs(index, len(groups), total)]
        path.write_bytes(model_bytes(pairs, group))
    return paths


class TestWholeModels:
    @pytest.mark.parametrize("given", range(NUM_PARTS))
    def test_any_part_gives_the_whole_model(self, parts: list[Path], whole: Path, given: int) -> None:
        assert find_shards(parts[given]) == parts
        expected = replace(
            inspect_model(whole), size_bytes=sum(part.stat().st_size for part in parts), split_count=NUM_PARTS
        )
        assert inspect_model(parts[given]) == expected

    @pytest.mark.parametrize("given", range(NUM_PARTS))
    def test_the_merged_model_is_the_original(self, parts: list[Path], whole: Path, tmp_path: Path, given: int) -> None:
        found = merged(parts[given], tmp_path / "merged.gguf")
        assert_same_model(found, whole)
        assert replace(inspect_model(found), size_bytes=0) == replace(inspect_model(whole), size_bytes=0)
        assert found.stat().st_size == model_source(parts[0]).size_bytes

    def test_no_split_key_is_left(self, parts: list[Path], tmp_path: Path) -> None:
        found = merged(parts[0], tmp_path / "merged.gguf")
        assert not [one.key for one in read_header(found).pairs if one.key.startswith("split.")]

    def test_the_data_of_the_merged_model_is_aligned(self, parts: list[Path]) -> None:
        source = model_source(parts[0])
        assert len(source.header) % 32 == 0
        assert all((part.size_bytes + part.pad_after_bytes) % 32 == 0 for part in source.segments)

    def test_a_first_part_without_tensors(self, whole: Path, tmp_path: Path) -> None:
        paths = split_model(whole, tmp_path, NUM_PARTS, first_without_tensors=True)
        assert not read_header(paths[0]).tensors
        assert_same_model(merged(paths[1], tmp_path / "merged.gguf"), whole)

    def test_as_many_parts_as_tensors(self, whole: Path, tmp_path: Path) -> None:
        num_tensors = inspect_model(whole).num_tensors
        paths = split_model(whole, tmp_path, num_tensors)
        assert len(paths) == num_tensors
        assert_same_model(merged(paths[-1], tmp_path / "merged.gguf"), whole)

    def test_links_to_the_parts(self, parts: list[Path], whole: Path, tmp_path: Path) -> None:
        # As in a Hugging Face cache: the names are links to blobs that are named by their digests.
        blobs = tmp_path / "blobs"
        blobs.mkdir()
        for index, part in enumerate(parts):
            blob = part.rename(blobs / f"digest{index}")
            part.symlink_to(blob)
        assert_same_model(merged(parts[1], tmp_path / "merged.gguf"), whole)

    def test_only_the_first_part_says_the_alignment(self, tmp_path: Path) -> None:
        tensors = [
            Tensor(),
            Tensor(name="b", shape=(10,), data=b"\7" * 40),
            Tensor(name="c", shape=(5,), data=b"\3" * 20),
        ]
        pairs = [*BASICS, pair("general.alignment", UINT32, 128)]
        whole, paths = tmp_path / "whole.gguf", [part_path(tmp_path, "m", number, 2) for number in (1, 2)]
        whole.write_bytes(model_bytes(pairs, tensors, alignment=128))
        paths[0].write_bytes(model_bytes([*pairs, *split_pairs(0, 2, 3)], tensors[:1], alignment=128))
        paths[1].write_bytes(model_bytes(split_pairs(1, 2, 3), tensors[1:]))
        assert written_bytes(model_source(paths[1])) == whole.read_bytes()

    def test_a_model_of_one_part_is_packed_as_it_is(self, tmp_path: Path) -> None:
        (path,) = write_parts(tmp_path, [[Tensor()]])
        assert inspect_model(path).split_count == 1
        assert written_bytes(model_source(path)) == path.read_bytes()

    @pytest.mark.parametrize("count", [0, 1])
    def test_split_keys_of_a_model_that_is_not_split(self, tmp_path: Path, count: int) -> None:
        path = tmp_path / "m.gguf"
        path.write_bytes(model_bytes([*BASICS, *split_pairs(0, count, 2)]))
        assert inspect_model(path).split_count == 1

    @pytest.mark.parametrize("name", ["m-00001-of-00002.gguf.bak", "m-1-of-2.gguf", "-00001-of-00002.gguf", "m.gguf"])
    def test_names_that_are_not_of_parts(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        path.write_bytes(model_bytes())
        assert find_shards(path) == [path]
        assert inspect_model(path).num_tensors == 2

    def test_a_name_comes_from_the_file_without_its_number(self, tmp_path: Path) -> None:
        paths = [part_path(tmp_path, "my-model", number, 2) for number in (1, 2)]
        pairs = [pair("general.architecture", STRING, "llama"), *split_pairs(0, 2, 2)]
        paths[0].write_bytes(model_bytes(pairs, [Tensor(name="a")]))
        paths[1].write_bytes(model_bytes(split_pairs(1, 2, 2), [Tensor(name="b")]))
        assert {inspect_model(path).name for path in paths} == {"my-model"}
        assert name_stem(tmp_path / "other-00001-of-2.gguf") == "other-00001-of-2"


class TestRefused:
    def test_missing_parts_are_named(self, parts: list[Path]) -> None:
        parts[1].unlink()
        for given in (parts[0], parts[2]):
            assert refusals([given]) == {f"{given}: 1 of its 3 parts are missing beside it: {parts[1].name}"}
        parts[2].unlink()
        message = refusals([parts[0]]).pop()
        assert f"2 of its 3 parts are missing beside it: {parts[1].name}, {parts[2].name}" in message

    def test_the_part_given_is_missing(self, parts: list[Path]) -> None:
        parts[1].unlink()
        assert refusals([parts[1]]) == {f"{parts[1]}: the model can't be read: no such file"}

    def test_very_many_missing_parts_are_not_all_listed(self, tmp_path: Path) -> None:
        path = tmp_path / "m-00001-of-09999.gguf"
        path.write_bytes(model_bytes())
        message = refusals([path]).pop()
        assert "9998 of its 9999 parts are missing beside it: m-00002-of-09999.gguf" in message
        assert len(message) < len(str(path)) + 300

    @pytest.mark.parametrize("numbers", ["00000-of-00003", "00004-of-00003", "00001-of-00000", "00001-of-99999"])
    def test_numbers_that_can_not_be(self, tmp_path: Path, numbers: str) -> None:
        path = tmp_path / f"m-{numbers}.gguf"
        path.write_bytes(model_bytes())
        assert "which can't be" in refusals([path]).pop()

    def test_parts_in_the_wrong_order(self, parts: list[Path], tmp_path: Path) -> None:
        parts[1].rename(tmp_path / "swap")
        parts[2].rename(parts[1])
        (tmp_path / "swap").rename(parts[2])
        assert refusals(parts) == {
            f"{parts[1]}: says that it is part 3 of 3, expected part 2 of 3; the parts are mixed up: get them again"
        }

    def test_a_part_of_a_model_split_another_way(self, parts: list[Path], whole: Path, tmp_path: Path) -> None:
        other = split_model(whole, tmp_path, 4)
        shutil.copy(other[1], parts[1])
        message = refusals(parts).pop()
        assert f"{parts[1]}: says that it is part 2 of 4, expected part 2 of 3" in message

    def test_a_whole_model_in_place_of_a_part(self, parts: list[Path], whole: Path) -> None:
        shutil.copy(whole, parts[2])
        assert refusals(parts) == {
            f"{parts[2]}: does not say which part of a split model it is (split.no and split.count)"
        }

    def test_a_tensor_that_two_parts_have(self, tmp_path: Path) -> None:
        paths = write_parts(tmp_path, [[Tensor(name="a")], [Tensor(name="b")], [Tensor(name="a")]])
        assert refusals(paths) == {f"{paths[2]}: tensor a is in an earlier part too; the parts are mixed up"}

    @pytest.mark.parametrize("claimed", [1, 3, -1])
    def test_another_number_of_tensors_than_claimed(self, tmp_path: Path, claimed: int) -> None:
        paths = write_parts(tmp_path, [[Tensor(name="a")], [Tensor(name="b")]], num_tensors=claimed)
        assert f"says that the parts hold {claimed} tensors and they hold 2" in refusals(paths).pop()

    @pytest.mark.parametrize("index", [0, 1])
    def test_a_renamed_part(self, parts: list[Path], index: int) -> None:
        renamed = parts[index].rename(parts[index].with_name("model.gguf"))
        with pytest.raises(InputError, match=f"is part {index + 1} of 3 and its name does not say so"):
            inspect_model(renamed)

    def test_a_part_that_is_cut_short(self, parts: list[Path]) -> None:
        parts[1].write_bytes(parts[1].read_bytes()[:-100])
        for path in parts:
            with pytest.raises(InputError, match="is cut short") as caught:
                inspect_model(path)
            assert str(caught.value).startswith(f"{parts[1]}: ")

    def test_a_part_that_is_no_gguf(self, parts: list[Path]) -> None:
        parts[2].write_bytes(b"<!DOCTYPE html>")
        assert refusals(parts) == {
            f"{parts[2]}: is not a GGUF model but a web page: the download gave an error page instead of the model"
        }

    def test_split_keys_of_another_type(self, tmp_path: Path) -> None:
        path = tmp_path / "m.gguf"
        path.write_bytes(model_bytes([*BASICS, pair("split.count", STRING, "3"), pair("split.no", UINT16, 0)]))
        with pytest.raises(InputError, match="does not say which part"):
            inspect_model(path)

    def test_a_part_with_a_tensor_of_an_unknown_type(self, tmp_path: Path) -> None:
        paths = write_parts(
            tmp_path, [[Tensor(name="a", type_id=F16, data=bytes(256))], [Tensor(name="b", type_id=99)]]
        )
        assert "tensor b has the type 99" in refusals(paths).pop()
