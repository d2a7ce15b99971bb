"""Embedding jobs with a scripted model: batches, pieces, pooling, turns, failures, and the engine around them."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import MachineError
from runtime.engine.embedding import EmbeddingHandle, EmbeddingJob, EmbeddingWorker, normalized
from runtime.engine.errors import (
    EngineStoppedError,
    GenerationFailedError,
    InputTooLongError,
    NoEmbeddingsError,
    QueueFullError,
)
from runtime.engine.sampling import SamplingParams
from runtime.engine.sequence import GenerationRequest
from runtime.llama.errors import DecodeInterruptedError
from tests.support.scripted_embedder import CURSED_TOKEN, ScriptedEmbedder

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.engine.embedding import Pooling, Vector
    from runtime.engine.engine import Engine


def submit(worker: EmbeddingWorker, *inputs: list[int]) -> EmbeddingHandle:
    handle = EmbeddingHandle()
    worker.jobs.append(EmbeddingJob(inputs=tuple(map(tuple, inputs)), handle=handle))
    return handle


def run(worker: EmbeddingWorker, budget_tokens: int = 1000) -> None:
    for _ in range(1000):
        if not worker.jobs:
            return
        worker.step(budget_tokens)
    raise AssertionError("a job is never done")


def numbers(handle: EmbeddingHandle) -> list[float]:
    """The number that each vector began as, before it got the length 1."""
    vectors = handle.poll(0)
    assert vectors is not None
    return [vector[0] / vector[1] for vector in vectors]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def test_several_inputs_make_a_batch() -> None:
    embedder = ScriptedEmbedder()
    worker = EmbeddingWorker(embedder)
    handle = submit(worker, [2, 4], [6], [8, 8, 8], [1] * 4)
    run(worker)
    assert numbers(handle) == pytest.approx([3, 6, 8, 1])
    assert [[len(piece.tokens) for piece in batch] for batch in embedder.batches] == [[2, 1, 3], [4]]
    assert not embedder.held


@pytest.mark.parametrize(("pooling", "expected"), [("mean", 10.5), ("cls", 1), ("last", 20)])
def test_a_long_input_is_cut_and_pooled_over_its_pieces(pooling: Pooling, expected: float) -> None:
    embedder = ScriptedEmbedder(pooling=pooling)
    worker = EmbeddingWorker(embedder)
    handle = submit(worker, [*range(1, CURSED_TOKEN), 13.5, *range(CURSED_TOKEN + 1, 21)])  # type: ignore[list-item]
    run(worker, 7)
    assert numbers(handle)[0] == pytest.approx(expected, abs=0.03)
    assert [len(batch[0].tokens) for batch in embedder.batches] == [7, 7, 6]


def test_an_input_that_cannot_be_cut_is_run_whole() -> None:
    embedder = ScriptedEmbedder(can_split=False, batch_tokens=20)
    worker = EmbeddingWorker(embedder)
    handle = submit(worker, [1] * 15, [2] * 4)
    run(worker, 5)
    assert numbers(handle) == pytest.approx([1, 2])
    assert [len(batch[0].tokens) for batch in embedder.batches] == [15, 4]


def test_jobs_take_turns() -> None:
    worker = EmbeddingWorker(ScriptedEmbedder())
    large, small = submit(worker, *[[1] * 8] * 5), submit(worker, [2])
    for _ in range(2):
        worker.step(100)
    assert numbers(small) == pytest.approx([2])
    assert large.poll(0) is None
    run(worker)
    assert numbers(large) == pytest.approx([1] * 5)


def test_a_batch_that_fails_fails_only_its_job() -> None:
    embedder = ScriptedEmbedder()
    worker = EmbeddingWorker(embedder)
    bad, good = submit(worker, [1] * 8, [CURSED_TOKEN]), submit(worker, [2])
    run(worker)
    with pytest.raises(GenerationFailedError, match="invalid"):
        bad.poll(0)
    assert numbers(good) == pytest.approx([2])
    assert not embedder.held


def test_memory_that_does_not_suffice_is_reported() -> None:
    embedder = ScriptedEmbedder()
    worker = EmbeddingWorker(embedder)

    def fail() -> None:
        raise MachineError("a context of 20 tokens can't be created")

    embedder.on_run = fail
    handle = submit(worker, [1])
    run(worker)
    with pytest.raises(MachineError, match="can't be created"):
        handle.poll(0)


def test_an_interrupted_input_begins_anew() -> None:
    embedder = ScriptedEmbedder()
    worker = EmbeddingWorker(embedder)
    handle = submit(worker, [1] * 20)
    worker.step(100)
    embedder.gate = threading.Semaphore(0)
    embedder.on_run = embedder.interrupted.set
    worker.step(100)
    assert not embedder.held
    embedder.gate, embedder.on_run = None, lambda: None
    run(worker)
    assert numbers(handle) == pytest.approx([1])


def test_a_vector_of_zeros_stays_one() -> None:
    assert normalized([0.0, 0.0]) == [0.0, 0.0]


@given(
    jobs=st.lists(st.lists(st.lists(st.integers(14, 99), min_size=1, max_size=20), min_size=1, max_size=6), max_size=5),
    budget=st.integers(1, 30),
    interrupts=st.sets(st.integers(0, 20)),
    can_split=st.booleans(),
)
def test_every_job_gets_its_vectors(
    jobs: list[list[list[int]]], budget: int, interrupts: set[int], can_split: bool
) -> None:
    embedder = ScriptedEmbedder(batch_tokens=8 if can_split else 20, can_split=can_split)
    worker = EmbeddingWorker(embedder)
    count = [0]

    def interrupt() -> None:
        count[0] += 1
        if count[0] in interrupts:
            raise DecodeInterruptedError("interrupted")

    embedder.on_run = interrupt
    handles = [submit(worker, *inputs) for inputs in jobs]
    run(worker, budget)
    for handle, inputs in zip(handles, jobs, strict=True):
        assert numbers(handle) == pytest.approx([sum(tokens) / len(tokens) for tokens in inputs])
    assert not embedder.held


# --- with the engine ---------------------------------------------------------------------------------------------


@pytest.fixture
def embedder(runner: Any) -> ScriptedEmbedder:
    runner.embedder = ScriptedEmbedder()
    return runner.embedder


def poll(handle: EmbeddingHandle) -> list[Vector]:
    vectors = handle.poll(5)
    assert vectors is not None
    return vectors


def test_the_engine_embeds(embedder: ScriptedEmbedder, engine: Engine) -> None:
    assert poll(engine.embed([[3]]))[0] == pytest.approx([3 / math.sqrt(10), 1 / math.sqrt(10)])
    assert engine.num_dimensions == 2


def test_too_long_an_input_is_refused(embedder: ScriptedEmbedder, engine: Engine) -> None:
    with pytest.raises(InputTooLongError, match="input 1 is 21 tokens long; at most 20"):
        engine.embed([[1], [1] * 21])


def test_a_model_without_embeddings(engine: Engine) -> None:
    with pytest.raises(NoEmbeddingsError):
        engine.embed([[1]])


def test_the_queue_is_bounded(embedder: ScriptedEmbedder, engine: Engine) -> None:
    embedder.gate = threading.Semaphore(0)
    handles = [engine.embed([[1]]) for _ in range(3)]
    with pytest.raises(QueueFullError, match="3 requests"):
        engine.embed([[1]])
    with pytest.raises(QueueFullError, match="3 requests"):
        engine.submit(GenerationRequest(prompt_tokens=(1,), sampling=SamplingParams(), max_tokens=1))
    embedder.gate = None
    assert all(poll(handle) for handle in handles)


def test_cancelling_cuts_a_batch_short(embedder: ScriptedEmbedder, engine: Engine) -> None:
    embedder.gate = threading.Semaphore(0)
    first, second = engine.embed([[1]]), engine.embed([[2]])
    wait_until(lambda: len(embedder.batches) == 1)
    first.cancel()
    wait_until(lambda: len(embedder.batches) == 2)
    embedder.gate = None
    assert poll(second)
    assert first.poll(0) is None


def test_stopping_fails_what_waits(embedder: ScriptedEmbedder, engine: Engine) -> None:
    embedder.gate = threading.Semaphore(0)
    handles = [engine.embed([[1]]), engine.embed([[2]])]
    assert engine.stop(5)
    for handle in handles:
        with pytest.raises(EngineStoppedError):
            handle.poll(1)
    with pytest.raises(EngineStoppedError):
        engine.embed([[1]])
