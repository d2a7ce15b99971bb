"""The real Vulkan backend on Mesa's renderer on the CPU: it computes what the CPU does, and is not chosen for it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from packer.toolchain.vulkan import vulkan_backend
from runtime.devices.calibration import _Candidate, relative_error
from runtime.devices.choice import ChosenDevices
from runtime.devices.probe import VISIBLE_VARIABLE
from runtime.llama.placement import CPU_ONLY, Placement
from tests.support.real_engine import RealEngine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts
    from runtime.devices.attempts import ModelPlacing
    from runtime.devices.report import DeviceReport
    from runtime.llama.library import Library

ALL_LAYERS = 5
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def backend(runtime_parts: RuntimeParts) -> Path:
    """The Vulkan backend; built when it is missing (some minutes)."""
    return vulkan_backend(runtime_parts.tools, "linux-x86_64", lambda _text: None)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the choice sets for the backend does not outlive the test."""
    monkeypatch.setenv(VISIBLE_VARIABLE, "")
    del os.environ[VISIBLE_VARIABLE]


def test_alone_it_loses_and_that_is_said(
    library: Library, tiny_model: Path, backend: Path, make_placing: Callable[..., ModelPlacing]
) -> None:
    reports: list[DeviceReport] = []
    placing = make_placing(backend)
    with RealEngine.started(library, tiny_model, placing=placing, on_device=reports.append):
        pass
    assert reports[0].backend == "cpu"
    assert reports[0].why.startswith("Vulkan: device llvmpipe")
    assert re.search(
        r" is a software renderer, (CPU is \d+(\.\d)?x faster|which is never used by itself)$", reports[0].why
    )


def test_all_layers_go_there_when_asked_for(
    library: Library, tiny_model: Path, backend: Path, make_placing: Callable[..., ModelPlacing]
) -> None:
    reports: list[DeviceReport] = []
    placing = make_placing(backend, wanted="llvmpipe")
    with RealEngine.started(library, tiny_model, placing=placing, on_device=reports.append) as engine:
        reply = engine.generate("Hello", max_tokens=4)
    assert len(reply.finished.token_ids) == 4
    assert (reports[0].backend, reports[0].layers, reports[0].num_layers) == ("vulkan", ALL_LAYERS, ALL_LAYERS)
    assert reports[0].name.startswith("GPU: llvmpipe")
    assert "all 5 layers" in reports[0].why


@pytest.mark.parametrize("layers", [ALL_LAYERS, 2])
def test_it_computes_the_same_as_the_cpu(
    library: Library, tiny_model: Path, backend: Path, make_placing: Callable[..., ModelPlacing], layers: int
) -> None:
    """The logits of a prompt's last token, with all layers on the device and with some."""
    chosen = make_placing(backend, wanted="vulkan").chooser.choose(library)
    assert isinstance(chosen, ChosenDevices)
    there = Placement(devices=chosen.pointers, num_layers=layers)
    expected = _Candidate(library, tiny_model, CPU_ONLY, 1).first_logits()
    found = _Candidate(library, tiny_model, there, 1).first_logits()
    assert max(expected) > min(expected)
    assert relative_error(expected, found) < TOLERANCE


def test_a_cache_in_eight_bits_works_there(
    library: Library, tiny_model: Path, backend: Path, make_placing: Callable[..., ModelPlacing]
) -> None:
    from runtime.llama.context import Context, Row
    from runtime.llama.model import ModelFile, load_model

    chosen = make_placing(backend, wanted="vulkan").chooser.choose(library)
    assert isinstance(chosen, ChosenDevices)
    placement = Placement(devices=chosen.pointers, num_layers=ALL_LAYERS, kv_type="q8_0")
    model = load_model(library, ModelFile(path=tiny_model), None, placement)
    context = Context(model, num_tokens=256, batch_tokens=32, num_threads=1, kv_type="q8_0")
    context.decode([Row(sequence_id=0, tokens=[3, 4, 5], position=0, want_logits=True)])
    context.close()
    model.close()


@pytest.mark.parametrize(("layers", "words"), [(6, "this model has 5 layers"), (99, "give 0 to 5")])
def test_more_layers_than_there_are(
    library: Library,
    tiny_model: Path,
    backend: Path,
    make_placing: Callable[..., ModelPlacing],
    layers: int,
    words: str,
) -> None:
    from packer.errors import InputError

    placing = make_placing(backend, wanted="vulkan", layers=layers)
    with pytest.raises(InputError, match=words), RealEngine.started(library, tiny_model, placing=placing):
        pass


def test_some_layers_as_asked_for(
    library: Library, tiny_model: Path, backend: Path, make_placing: Callable[..., ModelPlacing]
) -> None:
    reports: list[DeviceReport] = []
    placing = make_placing(backend, wanted="vulkan", layers=2)
    with RealEngine.started(library, tiny_model, placing=placing, on_device=reports.append) as engine:
        assert engine.generate("Hello", max_tokens=2).finished.token_ids
    assert "2 of 5 layers" in reports[0].why
