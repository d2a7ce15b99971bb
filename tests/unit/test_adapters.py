"""LoRA adapters as the packer sees them: what is said of a sound one, and the sentence for each that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from packer.container.config import parse_scaled_path
from packer.errors import InputError
from packer.gguf import inspect_adapter
from tests.support.gguf_files import STRING, UINT32, Tensor, array, model_bytes, pair

if TYPE_CHECKING:
    from pathlib import Path

KIND = {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}
SMALL = bytes(4 * 2 * 64)
A = Tensor(name="blk.0.attn_q.weight.lora_a", shape=(64, 2), data=SMALL)
B = Tensor(name="blk.0.attn_q.weight.lora_b", shape=(2, 32), data=bytes(4 * 2 * 32))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    tensors = [
        Tensor(name="token_embd.weight", shape=(64, 3), data=bytes(4 * 64 * 3)),
        Tensor(name="blk.0.attn_q.weight", shape=(64, 32), data=bytes(4 * 64 * 32)),
    ]
    path.write_bytes(model_bytes([pair("general.architecture", STRING, "llama")], tensors))
    return path


def write(path: Path, tensors: list[Tensor], *more: bytes, **changes: str) -> Path:
    values = {**KIND, **{key.replace("__", "."): value for key, value in changes.items()}}
    path.write_bytes(model_bytes([*(pair(key, STRING, value) for key, value in values.items()), *more], tensors))
    return path


def test_a_sound_one(model: Path, tmp_path: Path) -> None:
    info = inspect_adapter(write(tmp_path / "style.gguf", [A, B], general__name="Style"), model)
    assert (info.name, info.architecture, info.rank, info.num_tensors) == ("Style", "llama", 2, 2)


def test_one_for_the_token_embeddings_stands_the_other_way_round(model: Path, tmp_path: Path) -> None:
    first = Tensor(name="token_embd.weight.lora_a", shape=(2, 3), data=bytes(4 * 6))
    second = Tensor(name="token_embd.weight.lora_b", shape=(2, 64), data=SMALL)
    assert inspect_adapter(write(tmp_path / "a.gguf", [first, second]), model).rank == 2


@pytest.mark.parametrize(
    ("tensors", "changes", "words"),
    [
        ([A, B], {"general__type": "model"}, "is no adapter"),
        ([A, B], {"adapter__type": "ia3"}, "type 'ia3'"),
        ([A, B], {"general__architecture": "qwen2"}, "architecture 'qwen2', and model.gguf is 'llama'"),
        ([A], {}, "lacks its .lora_b"),
        ([B], {}, "lacks its .lora_a"),
        ([], {}, "no adapted tensors"),
        ([A, B, Tensor(name="blk.0.other", shape=(64, 2), data=SMALL)], {}, "no part of a LoRA"),
        (
            [
                Tensor(name="blk.9.x.lora_a", shape=(64, 2), data=SMALL),
                Tensor(name="blk.9.x.lora_b", shape=(2, 32), data=B.data),
            ],
            {},
            "changes the tensor blk.9.x, which the model does not have",
        ),
        ([A, Tensor(name=B.name, shape=(2, 16), data=bytes(4 * 32))], {}, "of 64 x 16, and the model's has 64 x 32"),
        ([A, Tensor(name=B.name, shape=(2, 32), data=bytes(10))], {}, "cut short"),
    ],
)
def test_what_is_refused(
    model: Path, tmp_path: Path, tensors: list[Tensor], changes: dict[str, str], words: str
) -> None:
    path = write(tmp_path / "adapter.gguf", tensors, **changes)
    with pytest.raises(InputError) as caught:
        inspect_adapter(path, model)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_one_that_tokens_switch_on_is_refused(model: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", [A, B], array("adapter.alora.invocation_tokens", UINT32, [1, 2]))
    with pytest.raises(InputError, match="aLoRA"):
        inspect_adapter(path, model)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.gguf", ("a.gguf", 1.0)),
        ("a.gguf:0.5", ("a.gguf", 0.5)),
        ("a.gguf:-2", ("a.gguf", -2.0)),
        ("C:\\a.gguf", ("C:\\a.gguf", 1.0)),
        ("C:\\a.gguf:0.25", ("C:\\a.gguf", 0.25)),
    ],
)
def test_paths_with_scales(text: str, expected: tuple[str, float]) -> None:
    path, scale = parse_scaled_path(text, "--lora")
    assert (str(path), scale) == expected


def test_a_name_with_a_colon_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a:2"
    path.touch()
    assert parse_scaled_path(str(path), "--lora") == (path, 1.0)


@pytest.mark.parametrize("text", ["a.gguf:much", "a.gguf:nan", "a.gguf:1000", "a.gguf:"])
def test_scales_that_are_none(text: Any) -> None:
    with pytest.raises(InputError, match="expected a scale"):
        parse_scaled_path(text, "--lora")
