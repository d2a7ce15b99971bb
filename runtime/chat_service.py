"""What the API and the terminal ask of the program: chat, and say how things are. Knows neither HTTP nor llama.cpp."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from runtime.engine.errors import EngineStoppedError, QueueFullError
from runtime.engine.sequence import GenerationRequest, RequestHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.chat_template import Message
    from runtime.engine.engine import Engine, EngineStatus
    from runtime.prompt import PromptEncoder
    from runtime.settings import ContextChoice, Settings

MAX_WAITING_FOR_MODEL = 32
POLL_S = 0.25
SYSTEM_ROLES = ("system", "developer")


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One chat request. ``sampling`` holds only what the client set, by the field names of SamplingParams."""

    messages: tuple[Message, ...]
    sampling: dict[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Facts:
    """What the program found out about machine and model, for people to read; filled in while it starts."""

    model_name: str
    model: dict[str, Any]
    device: dict[str, str]
    cpu_variant: str
    threads: dict[str, Any]
    version: str
    address: str = ""


class ChatService:
    """Answers chats with one engine."""

    def __init__(
        self,
        *,
        engine: Engine,
        settings: Settings,
        facts: Facts,
        encoder: Callable[[], PromptEncoder | None],
        context: Callable[[], ContextChoice | None] = lambda: None,
        on_quit: Callable[[], None] = lambda: None,
    ) -> None:
        """``encoder`` and ``context`` are asked each time, since they come into being when the model is loaded."""
        self.engine = engine
        self.settings = settings
        self.facts = facts
        self._encoder = encoder
        self._context = context
        self._on_quit = on_quit
        self._waiting_for_model = threading.Semaphore(MAX_WAITING_FOR_MODEL)

    def status(self) -> EngineStatus:
        """Return how far loading is."""
        return self.engine.status

    def wait_ready(self, timeout_s: float, abandoned: Callable[[], bool] = lambda: False) -> bool:
        """Wait until loading has ended; ``False`` when it still lasts after ``timeout_s`` or the client is gone.

        Raises QueueFullError when many wait already.
        """
        if self.engine.status.state != "loading":
            return True
        if not self._waiting_for_model.acquire(blocking=False):
            raise QueueFullError("many requests wait for the model to load already; try again in a few seconds")
        try:
            while timeout_s > 0 and not abandoned():
                if self.engine.wait_loaded(min(POLL_S, timeout_s)).state != "loading":
                    return True
                timeout_s -= POLL_S
            return False
        finally:
            self._waiting_for_model.release()

    def start_chat(self, request: ChatRequest) -> RequestHandle:
        """Queue a chat request. Raises what :meth:`Engine.submit` raises, or InputError for unusable messages."""
        prompt = self._require_encoder().encode_chat(self.with_system_prompt(request.messages))
        return self._submit(prompt, request)

    def start_completion(self, text: str) -> RequestHandle:
        """Queue the continuation of ``text`` without a chat template, with the settings of this run."""
        return self._submit(self._require_encoder().encode_text(text), ChatRequest(messages=()))

    def with_system_prompt(self, messages: Sequence[Message]) -> list[Message]:
        """Put the system prompt of this file first unless the messages bring their own.

        A locked system prompt takes the place of any that the messages bring.
        """
        own, locked = self.settings.system_prompt, self.settings.is_locked("chat.system_prompt")
        if locked:
            messages = [message for message in messages if message["role"] not in SYSTEM_ROLES]
        normal = [{**message, "role": "system"} if message["role"] == "developer" else message for message in messages]
        if own and not any(message["role"] == "system" for message in normal):
            normal.insert(0, {"role": "system", "content": own})
        return normal

    def _require_encoder(self) -> PromptEncoder:
        self.engine.require_loaded()
        encoder = self._encoder()
        if encoder is None:
            raise EngineStoppedError("no model is loaded")
        return encoder

    def _submit(self, prompt: list[int], request: ChatRequest) -> RequestHandle:
        """Fill in what the request leaves open, and let locked settings win over what it says."""
        settings = self.settings
        wanted = {name: value for name, value in request.sampling.items() if not settings.is_locked(f"sampling.{name}")}
        limits = [request.max_tokens or settings.max_tokens]
        if settings.is_locked("sampling.max_tokens"):
            limits = [limit for limit in (request.max_tokens, settings.max_tokens) if limit is not None]
        return self.engine.submit(
            GenerationRequest(
                prompt_tokens=tuple(prompt),
                sampling=replace(settings.sampling, **wanted),
                max_tokens=min((limit for limit in limits if limit is not None), default=None),
                stop=request.stop,
            )
        )

    def info(self) -> dict[str, Any]:
        """Describe model, machine and settings as plain JSON values."""
        settings, context = self.settings, self._context()
        return {
            "title": settings.title or self.facts.model_name,
            "model": self.facts.model,
            "device": self.facts.device,
            "cpu_variant": self.facts.cpu_variant,
            "threads": self.facts.threads,
            "context": asdict(context) if context else None,
            "address": self.facts.address,
            "version": self.facts.version,
            "chat": {
                "system_prompt": settings.system_prompt,
                "greeting": settings.greeting,
                "starters": list(settings.starters),
            },
            "sampling": {**asdict(settings.sampling), "max_tokens": settings.max_tokens},
            "locked": sorted(settings.locked),
        }

    def request_quit(self) -> None:
        """End the program soon, but not before the answer to this request can be sent."""
        self._on_quit()
