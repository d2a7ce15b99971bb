"""An engine on a real model in this process, with the shortcuts that tests want."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from runtime.chat_service import ChatService, Facts
from runtime.engine.engine import Engine
from runtime.engine.sampling import SamplingParams
from runtime.engine.sequence import Failed, Finished, GenerationRequest, RequestHandle, TextDelta
from runtime.llama.model import ModelFile
from runtime.loading import ModelLoader
from tests.runtime.conftest import make_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

    from runtime.engine.logprobs import TokenLogprobs
    from runtime.llama.library import Library
    from runtime.prompt import PromptEncoder


@dataclass(frozen=True, kw_only=True)
class RealReply:
    """A whole reply."""

    text: str
    finished: Finished
    logprobs: list[TokenLogprobs]


@dataclass(frozen=True, kw_only=True)
class RealEngine:
    """A loaded model and its engine."""

    engine: Engine
    loader: ModelLoader

    @classmethod
    @contextlib.contextmanager
    def started(cls, library: Library, model: Path, **options: Any) -> Iterator[RealEngine]:
        """Load ``model`` and run the engine until the end of the block."""
        values: dict[str, Any] = {"context_size": 512, "num_threads": 1, **options}
        loader = ModelLoader(library, ModelFile(path=model), **values)
        engine = Engine(loader.load)
        engine.start()
        try:
            status = engine.wait_loaded(60)
            if status.error is not None:
                raise status.error
            yield cls(engine=engine, loader=loader)
        finally:
            assert engine.stop(30)

    @property
    def encoder(self) -> PromptEncoder:
        """The encoder of the loaded model."""
        assert self.loader.encoder is not None
        return self.loader.encoder

    def submit(self, prompt: str | list[int], **more: Any) -> RequestHandle:
        """Queue a prompt, greedy unless ``sampling`` says otherwise."""
        tokens = self.encoder.encode_text(prompt) if isinstance(prompt, str) else prompt
        values: dict[str, Any] = {"sampling": SamplingParams(temperature=0), **more}
        return self.engine.submit(GenerationRequest(prompt_tokens=tuple(tokens), **values))

    def generate(self, prompt: str | list[int], **more: Any) -> RealReply:
        """Return the reply to a prompt."""
        return whole_reply(self.submit(prompt, **more))

    def client(self, **settings: Any) -> FlaskClient:
        """Return a client of the HTTP API around this engine."""
        from runtime.api import create_app

        return create_app(self.service(**settings)).test_client()

    def service(self, **settings: Any) -> ChatService:
        """Return the service around this engine."""
        facts = Facts(
            model_name="tiny",
            model={"name": "tiny", "adapters": [asdict(one) for one in self.engine.adapters]},
            device={"name": "CPU", "why": "test"},
            cpu_variant="any",
            threads={"count": 1, "why": "test"},
            version="0.1.0",
        )
        return ChatService(
            engine=self.engine,
            settings=make_settings(**settings),
            facts=facts,
            encoder=lambda: self.loader.encoder,
            context=lambda: self.loader.context,
        )


def whole_reply(handle: RequestHandle) -> RealReply:
    """Wait for the end of a request, which must not fail."""
    text, logprobs = "", []
    for event in handle.events():
        if isinstance(event, TextDelta):
            text += event.text
            logprobs += event.logprobs
        elif isinstance(event, Failed):
            raise event.error
        else:
            return RealReply(text=text, finished=event, logprobs=logprobs)
    raise AssertionError("no last event")
