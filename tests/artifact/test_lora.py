"""Adapters packed into a file, and given to one: the same tokens as the merged weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support import program, reference
from tests.support.adapters import write_adapter, write_merged
from tests.support.made_models import made_model

if TYPE_CHECKING:
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts

ASK = ("-p", "Hello there", "--raw", "--token-ids", "--temperature", "0", "--max-tokens", "12")


def test_packed_and_given_adapters(runtime_parts: RuntimeParts, runtime_cache: Path, tmp_path: Path) -> None:
    base, adapter = made_model(runtime_parts, "llama"), tmp_path / "style.gguf"
    write_adapter(adapter, base)
    write_merged(tmp_path / "merged.gguf", base, [(adapter, 0.5)])
    expected = reference.greedy_token_ids(runtime_parts, tmp_path / "merged.gguf", "Hello there", 12)
    assert expected != reference.greedy_token_ids(runtime_parts, base, "Hello there", 12)

    done = program.packer("build", base, "--lora", f"{adapter}:0.5", "-o", tmp_path / "with")
    assert done.returncode == 0, done.stderr
    packed = program.Launcher(tmp_path / "with", runtime_cache)
    adapter_bytes = adapter.stat().st_size
    assert "scale 0.5, rank 4" in program.packer("inspect", tmp_path / "with").stdout
    assert "Adapter 3" in packed.run("--info").stdout
    described = json.loads(program.packer("inspect", "--json", tmp_path / "with").stdout)
    (entry,) = [one for one in described["entries"] if one["name"] == "model/adapters/1-style.gguf"]
    assert entry["size_bytes"] == adapter_bytes
    assert entry["data_offset_bytes"] % 65536 == 0
    assert program.packer("verify", tmp_path / "with").returncode == 0
    body = {"prompt": "Hello there", "max_tokens": 12, "temperature": 0}
    with packed.serving() as server:
        assert server.json("/lora-adapters") == [{"id": 0, "name": "Adapter 3", "scale": 0.5}]
        adapted, plain_reply = (server.json("/v1/completions", {**body, **more}) for more in ({}, {"lora": []}))
        assert adapted["choices"][0]["text"] != plain_reply["choices"][0]["text"]
    adapter_copy = adapter.rename(tmp_path / "moved.gguf")
    assert json.loads(packed.run(*ASK).stdout) == expected

    assert program.packer("build", base, "-o", tmp_path / "without").returncode == 0
    plain = program.Launcher(tmp_path / "without", runtime_cache)
    assert json.loads(plain.run(*ASK, "--lora", f"{adapter_copy}:0.5").stdout) == expected
    assert json.loads(plain.run(*ASK).stdout) != expected
    missing = plain.run(*ASK, "--lora", tmp_path / "none.gguf")
    assert (missing.returncode, "no such file" in missing.stderr) == (3, True)


def test_an_adapter_for_another_model_is_refused_before_anything_is_written(
    runtime_parts: RuntimeParts, tiny_model: Path, tmp_path: Path
) -> None:
    adapter = tmp_path / "style.gguf"
    write_adapter(adapter, made_model(runtime_parts, "llama"), architecture="qwen2")
    done = program.packer("build", tiny_model, "--lora", adapter, "-o", tmp_path / "out")
    assert done.returncode == 3
    assert "architecture 'qwen2'" in done.stderr
    assert not (tmp_path / "out").exists()
