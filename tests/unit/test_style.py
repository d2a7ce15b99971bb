"""Formatter, linter and type checker agree with every file."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.program import CHECKOUT


@pytest.mark.parametrize("tool", [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)], ids=" ".join)
def test_tool_has_nothing_to_say(tool: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", *tool], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command", ["build", "run", "inspect", "verify", "extract", "runtimes", "runtimes list", "runtimes add", "doctor"]
)
def test_every_command_has_help_with_an_example(command: str) -> None:
    arguments = [*command.split(), "--help"]
    done = subprocess.run(
        [sys.executable, "-m", "packer", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Example" in done.stdout
    assert f"packer {command.split()[0]}" in done.stdout
