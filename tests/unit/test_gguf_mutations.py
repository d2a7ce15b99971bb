"""Damaged GGUF headers: whatever a file holds, it is described or refused with one sentence."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packer.errors import InputError
from packer.gguf import inspect_model
from tests.support.gguf_files import (
    BASICS,
    BOOL,
    Q8_0,
    UINT16,
    UINT32,
    Tensor,
    array,
    header_bytes,
    model_bytes,
    pair,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


SOUND = model_bytes(
    [
        *BASICS,
        pair("general.alignment", UINT32, 32),
        array("flags", BOOL, [True, False]),
        pair("split.count", UINT16, 1),
    ],
    [Tensor(shape=(4, 2), data=bytes(32)), Tensor(name="b", type_id=Q8_0, shape=(32,), data=bytes(34))],
)
NUMBERS = st.sampled_from([0, 1, 2, 9, 13, 31, 255, 2**16, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1])
PLACES = st.integers(0, len(SOUND) - 9)
MUTATIONS = st.one_of(
    st.tuples(PLACES, st.binary(min_size=1, max_size=8)),
    st.tuples(PLACES, NUMBERS.map(lambda number: struct.pack("<Q", number))),
    st.tuples(PLACES, NUMBERS.map(lambda number: struct.pack("<I", number & 0xFFFFFFFF))),
)


class TestMutations:
    """Whatever a file holds, it is described or refused with an InputError; every other exception is a bug."""

    def check_inspection(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        try:
            info = inspect_model(path)
        except InputError as error:
            assert str(error).startswith(str(path))
            assert len(str(error)) < 1000
        else:
            assert info.size_bytes == len(content)
            assert info.name.isprintable()

    @settings(max_examples=400, deadline=None)
    @given(mutations=st.lists(MUTATIONS, min_size=1, max_size=3), size_bytes=st.none() | st.integers(4, len(SOUND)))
    def test_bytes_changed(
        self, tmp_path_factory: pytest.TempPathFactory, mutations: list[tuple[int, bytes]], size_bytes: int | None
    ) -> None:
        content = bytearray(SOUND)
        for place, new in mutations:
            content[place : place + len(new)] = new
        self.check_inspection(tmp_path_factory.getbasetemp() / "mutated.gguf", bytes(content[:size_bytes]))

    @settings(max_examples=100, deadline=None)
    @given(place=PLACES, cut=st.integers(0, 16), new=st.binary(max_size=16))
    def test_bytes_moved(self, tmp_path_factory: pytest.TempPathFactory, place: int, cut: int, new: bytes) -> None:
        content = SOUND[:place] + new + SOUND[place + cut :]
        self.check_inspection(tmp_path_factory.getbasetemp() / "moved.gguf", content)

    def test_every_byte_of_the_header_changed(self, model: Path) -> None:
        for place in range(header_bytes()):
            for value in (SOUND[place] ^ 1, 0xFF):
                self.check_inspection(model, SOUND[:place] + bytes([value]) + SOUND[place + 1 :])
