"""The projector on a device: what it needs there, that it computes there and the same, and what happens where it fails.

The device that computes is Mesa's renderer on the CPU; those that fail are stand-ins.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from packer.errors import InputError
from packer.toolchain.vulkan import vulkan_backend
from runtime import loading
from runtime.devices.calibration import relative_error
from runtime.devices.choice import ChosenDevices
from runtime.devices.fit import MEBIBYTE
from runtime.devices.ggml import device_pointers, load_backend
from runtime.devices.probe import VISIBLE_VARIABLE
from runtime.devices.projector_fit import projector_room
from runtime.devices.report import PICTURES_NO_ROOM, PICTURES_NOT_LOADED
from runtime.llama.model import ModelFile, load_model
from runtime.llama.placement import CPU_ONLY
from runtime.llama.projector import PictureRows, Projector, measure_projector
from runtime.pictures import marks_of, picture_part
from tests.support.projectors import NUM_ROWS, png, write_projector
from tests.support.real_engine import RealEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from packer.runtimes.recipe import RuntimeParts
    from runtime.devices.attempts import ModelPlacing
    from runtime.devices.report import DeviceReport
    from runtime.llama.library import Library
    from runtime.llama.model import Model

RED, BLUE = png((255, 20, 20)), png((20, 20, 255))
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


@pytest.fixture(scope="module")
def projector_file(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """A projector for the tiny model, behind other bytes as in a packed file."""
    directory = tmp_path_factory.mktemp("projector")
    write_projector(directory / "mmproj.gguf")
    path = directory / "packed"
    path.write_bytes(bytes(65536) + (directory / "mmproj.gguf").read_bytes())
    return ModelFile(path=path, offset_bytes=65536)


@pytest.fixture
def model(library: Library, tiny_model: Path) -> Iterator[Model]:
    """The language model, on the CPU: its rows' width is all that a projector wants of it."""
    loaded = load_model(library, ModelFile(path=tiny_model), None, CPU_ONLY)
    yield loaded
    loaded.close()


@pytest.fixture
def broken_device(library: Library, stand_in: Callable[[str], Path]) -> Callable[[str], int]:
    """Loads a stand-in and returns ggml's pointer to its device."""

    def load(behaviour: str) -> int:
        registry = load_backend(library, stand_in(behaviour))
        assert registry
        return device_pointers(library, registry)[0]

    return load


def rows(projector: Projector, content: bytes) -> list[float]:
    """The numbers that a picture becomes."""
    (piece,) = projector.read(content).pieces()
    assert isinstance(piece, PictureRows)
    assert piece.num_tokens == NUM_ROWS
    return list(piece.pointer(0)[: piece.num_tokens * piece.row_size])


def rows_on(device: int | None, model: Model, file: ModelFile, content: bytes) -> list[float]:
    projector = Projector(model, file, num_threads=1, device=device)
    try:
        return rows(projector, content)
    finally:
        projector.close()


def see(engine: RealEngine, content: bytes) -> str:
    """Have the model reply to a picture."""
    message = {"role": "user", "content": [picture_part(content), {"type": "text", "text": "What is it?"}]}
    encoder: Any = engine.encoder
    (mark,) = marks_of([message])
    prompt = encoder._pictures.encode(f"Look: {mark}", [mark], engine.encoder.encode_text, engine.encoder.encode_text)
    return engine.generate(prompt.tokens, pictures=prompt.pictures, max_tokens=4).text


def test_it_is_measured_without_a_device(library: Library, projector_file: ModelFile) -> None:
    sizes = measure_projector(projector_file)
    content_bytes = projector_file.path.stat().st_size - 65536
    assert content_bytes / 2 < sizes.weights_bytes <= content_bytes
    assert 0 < sizes.compute_bytes < MEBIBYTE
    assert projector_room(sizes) > sizes.weights_bytes + sizes.compute_bytes


def test_what_is_no_projector_is_not_measured(library: Library, tiny_model: Path) -> None:
    with pytest.raises(InputError, match=r"the projector can't be used \(it can't be measured: "):
        measure_projector(ModelFile(path=tiny_model))


def test_it_computes_on_the_device_what_it_does_on_the_cpu(
    library: Library,
    backend: Path,
    make_placing: Callable[..., ModelPlacing],
    model: Model,
    projector_file: ModelFile,
) -> None:
    """The processor gives the same numbers each time, another device almost the same ones."""
    chosen = make_placing(backend, wanted="vulkan").chooser.choose(library)
    assert isinstance(chosen, ChosenDevices)
    expected = rows_on(None, model, projector_file, RED)
    assert rows_on(None, model, projector_file, RED) == expected
    found = rows_on(chosen.pointers[0], model, projector_file, RED)
    assert 0 < relative_error(expected, found) < TOLERANCE
    assert relative_error(expected, rows_on(None, model, projector_file, BLUE)) > TOLERANCE


def test_pictures_are_read_where_the_model_is_while_it_replies(
    library: Library,
    tiny_model: Path,
    backend: Path,
    make_placing: Callable[..., ModelPlacing],
    projector_file: ModelFile,
) -> None:
    reports: list[DeviceReport] = []
    options: dict[str, Any] = {"projector": projector_file, "on_device": reports.append}
    with RealEngine.started(library, tiny_model, placing=make_placing(backend, wanted="vulkan"), **options) as engine:
        projector = engine.encoder._pictures._projector  # type: ignore[attr-defined]
        alone = engine.generate("Hello", max_tokens=60).text
        first = rows(projector, RED)
        found: list[list[float]] = []
        reader = threading.Thread(target=lambda: found.extend(rows(projector, RED) for _time in range(20)))
        reader.start()
        assert engine.generate("Hello", max_tokens=60).text == alone
        reader.join()
        assert found == [first] * 20
        assert see(engine, RED)
        assert projector.on_device
    assert reports[0].layers == reports[0].num_layers
    assert "pictures" not in reports[0].why


def test_on_the_cpu_nothing_is_said_and_no_device_is_used(
    library: Library,
    tiny_model: Path,
    backend: Path,
    make_placing: Callable[..., ModelPlacing],
    projector_file: ModelFile,
) -> None:
    """Although the backend is loaded and has a device."""
    assert load_backend(library, backend)
    reports: list[DeviceReport] = []
    placing = make_placing(backend, wanted="off")
    options: dict[str, Any] = {"projector": projector_file, "on_device": reports.append}
    with RealEngine.started(library, tiny_model, placing=placing, **options) as engine:
        projector = engine.encoder._pictures._projector  # type: ignore[attr-defined]
        assert see(engine, RED)
        assert not projector.on_device
    assert "pictures" not in reports[0].why


def test_an_error_that_nobody_foresaw_is_told(
    library: Library, tiny_model: Path, projector_file: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as ctypes makes of a crash on Windows."""
    crash = OSError("exception: access violation reading 0x0")

    def read(_projector: Projector, _content: bytes) -> NoReturn:
        raise crash

    monkeypatch.setattr(Projector, "read", read)
    failures: list[Exception] = []
    options: dict[str, Any] = {"projector": projector_file, "on_failure": failures.append}
    started = RealEngine.started(library, tiny_model, **options)
    with started as engine, pytest.raises(OSError, match="access violation"):
        see(engine, RED)
    assert failures == [crash]


@pytest.mark.parametrize(
    ("free_bytes", "words"), [(0, PICTURES_NO_ROOM), (None, PICTURES_NOT_LOADED)], ids=["no room", "not loaded"]
)
def test_where_the_device_does_not_take_it_the_model_stays_there(
    library: Library,
    tiny_model: Path,
    backend: Path,
    make_placing: Callable[..., ModelPlacing],
    projector_file: ModelFile,
    monkeypatch: pytest.MonkeyPatch,
    free_bytes: int | None,
    words: str,
) -> None:
    if free_bytes is not None:
        monkeypatch.setattr("runtime.devices.attempts.projector_room", lambda _sizes: 1 << 50)
    else:
        monkeypatch.setattr(loading, "Projector", _TooLargeForDevices)
    reports: list[DeviceReport] = []
    options: dict[str, Any] = {"projector": projector_file, "on_device": reports.append}
    with RealEngine.started(library, tiny_model, placing=make_placing(backend, wanted="vulkan"), **options) as engine:
        assert see(engine, RED)
    assert (reports[0].backend, reports[0].layers) == ("vulkan", reports[0].num_layers)
    assert reports[0].why.endswith(f"; {words}")


class _TooLargeForDevices(Projector):
    def __init__(self, model: Model, file: ModelFile, *, num_threads: int, device: int | None = None) -> None:
        if device is not None:
            raise InputError("its memory ran out")
        super().__init__(model, file, num_threads=num_threads)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("PLAIN", 'failed to initialize "Standin0" backend'),
        ("NO_WEIGHTS", "there is not enough memory for its weights"),
        ("NO_COMPUTE", "there is not enough memory to compute in"),
    ],
)
def test_a_device_that_does_not_take_it_is_an_error(
    model: Model, projector_file: ModelFile, broken_device: Callable[[str], int], behaviour: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        Projector(model, projector_file, num_threads=1, device=broken_device(behaviour))


def test_a_device_that_fails_costs_one_picture(
    model: Model, projector_file: ModelFile, broken_device: Callable[[str], int]
) -> None:
    """It can't be started again, so the next picture is read on the CPU. A bad picture changes nothing."""
    projector = Projector(model, projector_file, num_threads=1, device=broken_device("FAILS"))
    with pytest.raises(InputError, match="damaged"):
        projector.read(RED[:200])
    assert projector.on_device
    with pytest.raises(InputError, match=r"the projector failed on it: .*compute failed with error"):
        projector.read(RED)
    assert rows(projector, RED) == rows_on(None, model, projector_file, RED)
    assert not projector.on_device
    projector.close()
