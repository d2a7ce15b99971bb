"""schemathesis against the server in a packed file: what is served is what /openapi.json says, whatever is sent.

It runs as a process of its own, since it brings its own pytest plugin and warnings. Examples are bounded and derived
from a fixed seed; the model gives few tokens a reply, by a locked setting, so that no request takes long.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTINGS = """
locked = ["sampling.max_tokens"]

[sampling]
max_tokens = 4
"""
CONFIG = """
hooks = "tests.support.schemathesis_hooks"
seed = 20261123
continue-on-failure = true
color = false
warnings = false

[generation]
max-examples = 15
database = "none"
with-security-parameters = false

[checks.allow_header_conformance]  # the router lists the methods of every pattern that an address fits
enabled = false

[phases.examples]
enabled = false

[phases.stateful]
enabled = false

[[operations]]  # which tool a request may name depends on the tools it lists, which no schema can say
include-path = ["/apply-template", "/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/responses"]

[operations.checks.positive_data_acceptance]
enabled = false

[checks.negative_data_rejection]
expected-statuses = [400, 403, 404, 405, 413, 415]
"""
LEFT_OUT = ("/api/quit", "/openapi.json")
"""Ends the server; is what schemathesis itself reads."""
LIMIT_S = 600


@pytest.fixture(scope="module")
def server(tiny_model: Path, runtime_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[program.Server]:
    work = tmp_path_factory.mktemp("schemathesis")
    settings, path = work / "chat.toml", work / "chat"
    settings.write_text(SETTINGS, encoding="utf-8")
    done = program.packer("build", tiny_model, "-c", settings, "-o", path)
    assert done.returncode == 0, done.stderr
    with program.Launcher(path, runtime_cache).serving() as running:
        yield running


def test_the_server_does_what_its_description_says(server: program.Server, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG, encoding="utf-8")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", config, "run"]
    command += [f"{server.address}/openapi.json", "--exclude-path", LEFT_OUT[0]]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(program.CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    described = server.json("/openapi.json")["paths"]
    operations = [method for path, item in described.items() if path not in LEFT_OUT for method in item]
    assert f"Tested: {len(operations)}\n" in done.stdout
    assert server.stop() == 0
    assert server.process.stderr is not None
    assert "Traceback" not in server.process.stderr.read()
