"""Fixtures: llama.cpp in this process, engines on bare models, and clients of the API around them."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import reference
from tests.support.real_engine import RealEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts
    from runtime.llama.library import Library


@pytest.fixture(scope="session")
def library(runtime_parts: RuntimeParts) -> Iterator[Library]:
    """llama.cpp's libraries as the runtime loads them."""
    from runtime.llama.library import load_library

    sys.path.insert(0, str(reference.staged_binding(runtime_parts)))
    loaded = load_library()
    yield loaded
    loaded.silence()


@pytest.fixture
def open_engine(library: Library, tiny_model: Path) -> Iterator[Callable[..., RealEngine]]:
    """Starts engines; the first argument is the model, by default the tiny one, the others go to the loader."""
    with contextlib.ExitStack() as stack:

        def start(model: Path = tiny_model, **options: Any) -> RealEngine:
            return stack.enter_context(RealEngine.started(library, model, **options))

        yield start
