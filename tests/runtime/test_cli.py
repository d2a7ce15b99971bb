"""The command line on small packed files made by the container writer; no native library is loaded."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click
import pytest

from packer.container.manifest import Manifest, ModelSummary, TargetSummary
from packer.container.writer import ContainerWriter
from runtime.bundle import open_contents
from runtime.cli import build_command, main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODEL = ModelSummary(
    entry="model/tiny.gguf",
    name="Tiny",
    architecture="llama",
    quantization="F32",
    num_parameters=1234,
    context_length=2048,
    size_bytes=1000,
)
TARGET = TargetSummary(runtime_id="0" * 64, requires_glibc="2.28", llama_cpp="0c1e57098", python="3.11.7")


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a packed file with this configuration and makes it the one that the program was started from."""

    def write(config: str = 'title = "Helper"\n', model: ModelSummary | None = MODEL) -> Path:
        path = tmp_path / "chat.exe"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o755)
        try:
            writer = ContainerWriter(descriptor, b"\x7fELF" + bytes(5000))
            writer.add_bytes("config.toml", config.encode())
            writer.add_bytes("licenses/llama.cpp.txt", b"MIT License\n" * 50, compress_level=3)
            if model is not None:
                writer.add_bytes(model.entry, b"GGUF" + bytes(range(250)) * 4)
            manifest = Manifest(
                packer_version="0.1.0",
                title="Helper",
                model=model,
                targets={"linux-x86_64": TARGET},
                launcher_bytes=writer.launcher_bytes,
                launcher_sha256=writer.launcher_sha256,
                sha256=writer.sha256,
            )
            writer.finish(manifest.to_json())
        finally:
            os.close(descriptor)
        monkeypatch.setenv("PACKER_BUNDLE", str(path))
        return path

    return write


def test_the_model_is_found_where_it_stands(pack: Callable[..., Path]) -> None:
    path = pack()
    model = open_contents(path).model
    assert model is not None
    assert (model.name, model.context_length) == ("Tiny", 2048)
    offset = model.file.offset_bytes
    assert offset is not None
    assert offset % 65536 == 0
    assert path.read_bytes()[offset : offset + 4] == b"GGUF"


def test_info(pack: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    pack('title = "Helper"\nlocked = ["chat.system_prompt"]\n')
    assert main(["--info"]) == 0
    text = capsys.readouterr().out
    for expected in ("Helper", "Tiny", "2,048 tokens", "linux-x86_64", "chat.system_prompt"):
        assert expected in text


def test_info_as_json(pack: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = pack()
    assert main(["--info", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == str(path)
    assert document["size_bytes"] == path.stat().st_size
    assert document["model"]["context_length"] == 2048
    assert document["config"]["context"]["size"] == 4096
    assert [entry["name"] for entry in document["entries"]][-1] == "manifest.json"


def test_verify_an_intact_file(pack: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    pack()
    assert main(["--verify"]) == 0
    output = capsys.readouterr()
    assert "all 4 entries are intact" in output.out
    assert "checking" in output.err


@pytest.mark.parametrize("name", ["config.toml", "model/tiny.gguf", "licenses/llama.cpp.txt"])
def test_verify_names_the_damaged_entry(
    pack: Callable[..., Path], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    from packer.container.reader import open_bundle

    path = pack()
    with open_bundle(path) as bundle:
        offset = bundle.entries[name].data_offset_bytes + 10
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)
    assert main(["--verify"]) == 5
    assert f"\n  {name}: " in capsys.readouterr().err


def test_licenses(pack: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    pack()
    assert main(["--licenses"]) == 0
    text = capsys.readouterr().out
    assert "llama.cpp\n" in text
    assert "MIT License" in text


def test_version(pack: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    pack()
    assert main(["--version"]) == 0
    assert "packer 0.1.0 (llama.cpp 0c1e57098" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense"], "No such option"),
        (["--port", "99999"], "99999"),
        (["--temperature", "warm"], "warm"),
        (["-p", "x", "--cli"], "can't be used together"),
        (["--json"], "--json needs --info"),
        (["--token-ids"], "--token-ids needs --prompt"),
        (["--raw"], "--raw needs --prompt"),
        (["--host", "0.0.0.0"], "answers on 127.0.0.1 alone"),
    ],
)
def test_wrong_usage(
    pack: Callable[..., Path], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    pack()
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_a_locked_option_is_refused(pack: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    pack('locked = ["sampling.temperature"]\n')
    assert main(["-p", "x", "--temperature", "0"]) == 2
    assert "fixed sampling.temperature" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--info", "--verify", "--licenses"])
def test_without_a_packed_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    monkeypatch.delenv("PACKER_BUNDLE", raising=False)
    assert main([option]) == 3
    assert f"error: {option} describes a packed file" in capsys.readouterr().err


def test_a_file_that_was_cut_short(pack: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = pack()
    path.write_bytes(path.read_bytes()[:-100])
    assert main([]) == 5
    assert str(path) in capsys.readouterr().err


def test_a_broken_configuration_names_the_file(pack: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = pack("[context]\nsize = 'big'\n")
    assert main([]) == 3
    error = capsys.readouterr().err
    assert "context.size" in error
    assert str(path) in error


def test_help_shows_the_programs_own_name() -> None:
    command = build_command("chat.exe")
    text = command.get_help(click.Context(command))
    assert 'chat.exe -p "Why is the sky blue?"' in text
    assert "--host" not in text


def test_the_address_that_other_servers_are_told_is_taken(pack: Callable[..., Path]) -> None:
    pack()
    assert main(["--version", "--host", "127.0.0.1"]) == 0
