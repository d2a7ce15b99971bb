"""Fixtures: a model of one's own behind the engine's protocol, and services and clients around it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from packer.errors import MachineError
from runtime.chat_service import ChatService, Facts
from runtime.engine.adapters import AS_LOADED, Adapter, Scales
from runtime.engine.engine import Engine
from runtime.engine.logprobs import TokenLogprob, TokenLogprobs
from runtime.engine.sampling import SamplingParams
from runtime.llama.errors import DecodeError, DecodeInterruptedError
from runtime.settings import ContextChoice, Settings
from tests.support.encoder import FAILING_TOKEN, ByteEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flask.testing import FlaskClient

    from runtime.engine.model_runner import Chunk, Sampled
    from runtime.history.history import History

END = 0


class ScriptedRunner:
    """A model over bytes: token ``n`` is the byte ``n - 1``, 0 ends. It answers each prompt with ``reply``.

    It keeps the books a real unified cache keeps, cell by cell, and refuses what a real one refuses, so that the
    engine's are checked. ``fails`` may refuse a batch; ``can_truncate`` unset makes it a recurrent memory.
    """

    def __init__(
        self, reply: bytes = b"hello", *, context_tokens: int = 64, batch_tokens: int = 8, num_slots: int = 1
    ) -> None:
        self.context_tokens = context_tokens
        self.num_cells = self.least_cells = context_tokens
        self.refuses_to_grow = self.loses_content = self.memory_is_short = False
        self.batch_tokens = batch_tokens
        self.num_slots = num_slots
        self.num_cached = num_slots + 2
        self.reply = reply
        self.cells: dict[int, list[tuple[int, int]]] = {}
        self.next_cell = 0
        self.steps: list[list[Chunk]] = []
        self.can_truncate = True
        self.can_shift = False
        self.fails: Callable[[Sequence[Chunk]], bool] = lambda chunks: False
        self.gate: threading.Semaphore | None = None
        self.interrupted = threading.Event()
        self.closed = False
        self.num_shifted = 0
        self.samplers_open = 0
        self.can_generate = True
        self.embedder: Any = None
        self.adapters: list[Adapter] = []
        self.made_with: dict[int, Scales] = {}
        self.packed_prompts: list[list[int]] = []
        self.can_restore = self.can_save = True
        self.num_loaded = 0
        self.num_warm_ups = 0

    @property
    def decoded(self) -> list[list[int]]:
        """The tokens of each step that worked on a single sequence."""
        return [chunks[0].tokens for chunks in self.steps if len(chunks) == 1]

    def cached(self, cache_id: int) -> list[int]:
        """The tokens of a cached sequence."""
        return [token for _cell, token in self.cells.get(cache_id, [])]

    def run(self, chunks: Sequence[Chunk]) -> list[Sampled]:
        self._check(chunks)
        while self.gate is not None and not self.gate.acquire(timeout=0.01):
            if self.interrupted.is_set():
                self._leave_half_done(chunks)
                raise DecodeInterruptedError("interrupted")
        if self.fails(chunks) or any(FAILING_TOKEN in chunk.tokens for chunk in chunks):
            self._leave_half_done(chunks)
            raise DecodeError("no room is left in the KV cache")
        for chunk in chunks:
            self._append(chunk.cache_id, chunk.tokens, chunk.adapters)
        if sum(len(held) for held in self.cells.values()) > self.num_cells:
            used = {cell for held in self.cells.values() for cell, _token in held}
            assert len(used) <= self.num_cells, "more cells than there are"
        self.steps.append(list(chunks))
        return [self._sample(chunk) for chunk in chunks]

    def _sample(self, chunk: Chunk) -> Sampled:
        """Give each token the log probability of -1 / its number, and its neighbours that of -10."""
        if chunk.sampler is None:
            return None
        token: int = chunk.sampler.sample(len(self.cells[chunk.cache_id]))
        if chunk.top_logprobs is None:
            return token
        ranked = [TokenLogprob(token=token, logprob=-1 / max(1, token))]
        ranked += [TokenLogprob(token=max(1, token - 1 - rank), logprob=-10.0) for rank in range(19)]
        return TokenLogprobs(chosen=ranked[0], top=tuple(ranked[: chunk.top_logprobs]))

    def _check(self, chunks: Sequence[Chunk]) -> None:
        assert 0 < sum(len(chunk.tokens) for chunk in chunks) <= self.batch_tokens
        assert 0 < len(chunks) == len({chunk.cache_id for chunk in chunks}) <= self.num_slots
        for chunk in chunks:
            assert 0 <= chunk.cache_id < self.num_cached
            held = self.cells.get(chunk.cache_id, [])
            assert chunk.position == len(held), "the engine decodes at another position than the cache ends"
            assert chunk.adapters == chunks[0].adapters, "one step with different adapters"
            assert {self.made_with[cell] for cell, _token in held} <= {chunk.adapters}, "cells of other adapters"

    def _leave_half_done(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            self._append(chunk.cache_id, chunk.tokens[:1], chunk.adapters)

    def _append(self, cache_id: int, tokens: list[int], adapters: Scales = AS_LOADED) -> None:
        held = self.cells.setdefault(cache_id, [])
        for token in tokens:
            held.append((self.next_cell, token))
            self.made_with[self.next_cell] = adapters
            self.next_cell += 1

    def truncate(self, cache_id: int, num_tokens: int) -> bool:
        held = self.cells.get(cache_id, [])
        kept = self.can_truncate or num_tokens in {0, len(held)}
        self.cells[cache_id] = held[:num_tokens] if kept else []
        return kept

    def copy(self, source_id: int, target_id: int, num_tokens: int) -> bool:
        assert not self.cells.get(target_id), "copied onto a sequence in use"
        assert num_tokens <= len(self.cells[source_id])
        self.cells[target_id] = list(self.cells[source_id])
        return self.truncate(target_id, num_tokens)

    def warm_up(self, cache_id: int) -> None:
        assert not self.cells.get(cache_id), "warmed up with a sequence in use"
        self.num_warm_ups += 1

    def restore(self, cache_id: int, index: int) -> bool:
        assert not self.cells.get(cache_id), "restored onto a sequence in use"
        used = {cell for held in self.cells.values() for cell, _token in held}
        assert len(used) + len(self.packed_prompts[index]) <= self.num_cells, "no room for a packed prompt"
        if self.can_restore:
            self._append(cache_id, self.packed_prompts[index])
        return self.can_restore

    def save(self, cache_id: int) -> Any:
        made_with = {self.made_with[cell] for cell, _token in self.cells.get(cache_id, [])} or {AS_LOADED}
        return (list(self.cached(cache_id)), made_with.pop()) if self.can_save else None

    def load(self, cache_id: int, state: Any) -> bool:
        assert not self.cells.get(cache_id), "loaded onto a sequence in use"
        used = {cell for held in self.cells.values() for cell, _token in held}
        tokens, adapters = state
        assert len(used) + len(tokens) <= self.num_cells, "no room for a saved state"
        if self.can_restore:
            self._append(cache_id, tokens, adapters)
            self.num_loaded += 1
        return self.can_restore

    def shift(self, cache_id: int, start: int, count: int) -> bool:
        """Move cells forward, which no other sequence may share: they would move for it too."""
        assert self.can_shift
        held = self.cells[cache_id]
        others = {cell for other, cells in self.cells.items() if other != cache_id for cell, _token in cells}
        assert not others & {cell for cell, _token in held[start:]}, "moved cells of another sequence"
        if not self.can_truncate:
            self.cells[cache_id] = []
            return False
        self.cells[cache_id] = held[:start] + held[start + count :]
        self.num_shifted += count
        return True

    def resize(self, num_cells: int) -> bool:
        if self.refuses_to_grow and num_cells > self.num_cells:
            raise MachineError("no memory is free")
        assert self.num_cells != num_cells <= self.context_tokens
        used = {cell for held in self.cells.values() for cell, _token in held}
        assert len(used) <= num_cells, "the chats don't fit into the new size"
        self.num_cells = num_cells
        if self.loses_content:
            self.cells.clear()
        return not self.loses_content

    def is_memory_short(self) -> bool:
        return self.memory_is_short

    def start_sampler(self, params: SamplingParams, prompt: Sequence[int]) -> Any:
        assert isinstance(params, SamplingParams)
        self.samplers_open += 1
        return _ScriptedSampler(self, len(prompt))

    def piece(self, token: int) -> bytes:
        return bytes([token - 1])

    def is_end(self, token: int) -> bool:
        return token == END

    def interrupt(self) -> None:
        self.interrupted.set()

    def clear_interrupt(self) -> None:
        self.interrupted.clear()

    def close(self) -> None:
        assert self.samplers_open == 0, "a sampler was left open"
        self.closed = True


class _ScriptedSampler:
    def __init__(self, runner: ScriptedRunner, num_prompt: int) -> None:
        self._runner = runner
        self._num_prompt = num_prompt
        self._num_sampled = 0

    def sample(self, num_cached: int) -> int:
        self._num_sampled += 1
        index = self._num_sampled - 1 if self._runner.can_shift else num_cached - self._num_prompt
        assert index >= 0, "sampled before the prompt was read"
        return self._runner.reply[index] + 1 if index < len(self._runner.reply) else END

    def close(self) -> None:
        self._runner.samplers_open -= 1


def make_settings(**changes: Any) -> Settings:
    values: dict[str, Any] = {
        "title": "Test",
        "system_prompt": "",
        "greeting": "",
        "starters": (),
        "sampling": SamplingParams(),
        "max_tokens": None,
        "context_size": 0,
        "kv_type": "f16",
        "context_shift": False,
        "port": 8080,
        "port_is_explicit": False,
        "browser": False,
        "threads": 1,
        "repack": "auto",
        "gpu": "auto",
        "gpu_layers": -1,
        "history": False,
        "history_name": "",
        "locked": frozenset(),
    }
    return Settings(**{**values, **changes})


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Makes settings; arguments replace the defaults."""
    return make_settings


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> ScriptedRunner:
    """The model of :func:`engine` and :func:`service`; indirect parameters are keyword arguments of its class."""
    return ScriptedRunner(**getattr(request, "param", {}))


@pytest.fixture
def runner_class() -> type[ScriptedRunner]:
    """The class, for tests that make many."""
    return ScriptedRunner


@pytest.fixture
def engine(runner: ScriptedRunner) -> Iterator[Engine]:
    """A running engine with :func:`runner` as its model; ended, and its resources checked, after the test."""
    running = Engine(lambda _progress: runner, max_waiting=3)
    running.start()
    assert running.wait_loaded(5).state == "ready"
    yield running
    assert running.stop(5)
    assert runner.closed
    assert runner.samplers_open == 0


@pytest.fixture
def encoder() -> ByteEncoder:
    """The prompt encoder of :func:`service`."""
    return ByteEncoder()


def make_service(engine: Engine, encoder: ByteEncoder, settings: Settings, **more: Any) -> ChatService:
    facts = Facts(
        model_name="tiny",
        model={"name": "tiny", "context_length": 64},
        device={"name": "CPU", "why": "test"},
        cpu_variant="haswell (AVX2)",
        threads={"count": 1, "why": "test"},
        version="0.1.0",
        address="http://127.0.0.1:8080",
    )
    return ChatService(
        engine=engine,
        settings=settings,
        facts=facts,
        encoder=lambda: encoder,
        context=lambda: ContextChoice(size_tokens=64, why="test"),
        **more,
    )


@pytest.fixture
def service_factory(engine: Engine, encoder: ByteEncoder) -> Callable[..., ChatService]:
    """Makes a service around :func:`engine`; arguments change the settings."""
    return lambda **changes: make_service(engine, encoder, make_settings(**changes))


@pytest.fixture
def make_client(encoder: ByteEncoder) -> Callable[..., FlaskClient]:
    """Makes a Flask client of a service around any engine."""
    from runtime.api import create_app

    def make(
        engine: Engine,
        *,
        on_quit: Callable[[], None] = lambda: None,
        history: History | None = None,
        **changes: Any,
    ) -> FlaskClient:
        app = create_app(make_service(engine, encoder, make_settings(**changes), on_quit=on_quit), history=history)
        return app.test_client()

    return make


@pytest.fixture
def client(engine: Engine, make_client: Callable[..., FlaskClient]) -> FlaskClient:
    """A Flask client of the API with the scripted model behind it."""
    return make_client(engine)


@pytest.fixture
def service_for(encoder: ByteEncoder) -> Callable[..., ChatService]:
    """Makes a service around any engine."""
    return lambda engine, **changes: make_service(engine, encoder, make_settings(**changes))
