"""``packer bench``: measures a packed file, says so in a table and in JSON, and ends the program again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import program

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ("--rounds", "2", "--prompt-tokens", "40", "--reply-tokens", "8", "--streams", "1,3")


def test_every_round_of_every_figure_is_in_the_json(packed: Path, runtime_cache: Path) -> None:
    done = program.packer("bench", packed, *QUICK, "--json", PACKER_CACHE_DIR=str(runtime_cache))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    figures = [result["healthy_s"], result["first_token_s"], result["prompt_tokens_per_s"]]
    figures += [entry["tokens_per_s"] for entry in result["streams"]]
    assert [len(figure["values"]) for figure in figures] == [2] * 5
    assert all(value > 0 for figure in figures for value in figure["values"])
    assert all(first > healthy for healthy, first in zip(*(figure["values"] for figure in figures[:2]), strict=True))
    assert [entry["streams"] for entry in result["streams"]] == [1, 3]
    assert result["model"]["architecture"] == "llama"
    assert result["machine"]["threads"]["count"] >= 1


def test_the_table_names_what_was_measured(packed: Path, runtime_cache: Path) -> None:
    done = program.packer("bench", packed, *QUICK, PACKER_CACHE_DIR=str(runtime_cache))
    assert done.returncode == 0, done.stderr
    for words in ("start until first token", "reading a prompt", "writing, 1 client", "writing, 3 clients together"):
        assert words in done.stdout
    assert "measuring chat: 3 streams" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["absent"], 3, "absent"),
        (["pyproject.toml"], 3, "is not a packed file"),
        (["x", "--streams", "1,a"], 2, "is not a list of numbers from 1 to 64"),
        (["x", "--rounds", "0"], 2, "--rounds"),
    ],
)
def test_what_can_not_be_measured_is_one_sentence(arguments: list[str], code: int, words: str) -> None:
    done = program.packer("bench", *arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_file_is_not_started(tiny_model: Path, runtime_cache: Path, tmp_path: Path) -> None:
    packed = tmp_path / "chat"
    assert program.packer("build", tiny_model, "-o", packed).returncode == 0
    tail = packed.stat().st_size
    with packed.open("r+b") as stream:
        stream.truncate(tail - 1)
    done = program.packer("bench", packed, *QUICK, PACKER_CACHE_DIR=str(runtime_cache))
    assert done.returncode == 5, done.stderr
    assert "chat" in done.stderr
