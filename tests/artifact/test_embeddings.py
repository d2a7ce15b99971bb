"""A packed model that only embeds: what it is said to be, the official client, and a clear no to chats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import openai
import pytest

from tests.support import program
from tests.support.made_models import made_model

if TYPE_CHECKING:
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts


@pytest.fixture(scope="module")
def packed_bert(runtime_parts: RuntimeParts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("embeddings") / "embed"
    done = program.packer("build", made_model(runtime_parts, "bert"), "-o", output)
    assert done.returncode == 0, done.stderr
    return output


def test_it_is_said_to_embed_only(packed_bert: Path, runtime_cache: Path) -> None:
    for shown in (program.packer("inspect", packed_bert), program.Launcher(packed_bert, runtime_cache).run("--info")):
        assert "embeddings only" in shown.stdout


def test_the_official_client_gets_vectors_and_chats_are_refused(packed_bert: Path, runtime_cache: Path) -> None:
    with (
        program.Launcher(packed_bert, runtime_cache).serving() as server,
        openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0) as client,
    ):
        found = client.embeddings.create(model="any", input=["one", "two words"])
        assert [len(entry.embedding) for entry in found.data] == [128, 128]
        assert math.fsum(value * value for value in found.data[1].embedding) == pytest.approx(1, abs=1e-4)
        assert found.usage.total_tokens > 0
        assert server.json("/api/info")["model"]["use"] == "embeddings"
        with pytest.raises(openai.BadRequestError, match="/v1/embeddings"):
            client.chat.completions.create(model="any", messages=[{"role": "user", "content": "hi"}])


def test_a_prompt_on_the_command_line_is_refused(packed_bert: Path, runtime_cache: Path) -> None:
    done = program.Launcher(packed_bert, runtime_cache).run("-p", "hi")
    assert done.returncode == 3
    assert "can't chat" in done.stderr
