"""What the API and the terminal ask of the program: chat, and say how things are. Knows neither HTTP nor llama.cpp."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from packer.errors import InputError
from runtime.chat_reply import ChatHandle
from runtime.chat_template import ChatOptions, ChatPlan
from runtime.engine.adapters import AS_LOADED, UnknownAdapterError, scales_of
from runtime.engine.errors import EngineStoppedError, QueueFullError
from runtime.engine.kv_cache import common_prefix_length
from runtime.engine.sequence import GenerationRequest, RequestHandle
from runtime.pictures import NoPicturesError, marks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from runtime.chat_template import Message
    from runtime.devices.report import DeviceReport
    from runtime.engine.adapters import Scales
    from runtime.engine.engine import Engine, EngineStatus
    from runtime.engine.pictures import PromptPicture
    from runtime.engine.sampling import SamplingParams
    from runtime.pictures import PictureMark
    from runtime.prompt import PromptEncoder
    from runtime.settings import ContextChoice, Settings

MAX_WAITING_FOR_MODEL = 256
"""As many as may wait later, see ``runtime.engine.engine``."""
POLL_S = 0.25
SYSTEM_ROLES = ("system", "developer")
REQUEST_ONLY = {"logit_bias", "grammar", "grammar_prefix", "grammar_lazy"}


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How to continue a prompt. ``sampling`` holds only what the client set, by the field names of SamplingParams.

    ``logit_bias`` maps tokens, or texts whose every token is meant, to what is added to their logits. ``grammar`` is
    GBNF; ``grammar_field`` names the field of the request that it comes from. ``top_logprobs`` asks for the log
    probability of each token, and of so many likeliest ones. ``must_fit`` refuses a ``max_tokens`` that has no room.
    ``adapters`` are the LoRA adapters to use, by index or name, with their scales; ``None`` for those of the file.
    """

    sampling: dict[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    logit_bias: tuple[tuple[int | str, float], ...] = ()
    ignore_eos: bool = False
    grammar: str | None = None
    grammar_field: str = "grammar"
    top_logprobs: int | None = None
    must_fit: bool = False
    adapters: tuple[tuple[int | str, float], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ChatRequest(GenerationOptions):
    """One chat request; ``template`` is what it says about tools, reasoning and the form of the answer."""

    messages: tuple[Message, ...]
    template: ChatOptions = field(default_factory=ChatOptions)


class FieldRefusedError(InputError):
    """What a field of the request asks for does not go with this model; ``field`` names it."""

    def __init__(self, field: str, reason: str) -> None:
        """Build the sentence from the two."""
        super().__init__(f"{field}: {reason}")
        self.field = field


class GrammarRefusedError(FieldRefusedError):
    """A grammar that can't be used."""


@dataclass(kw_only=True)
class Facts:
    """What the program found out about machine and model, for people to read; filled in while it starts."""

    model_name: str
    model: dict[str, Any]
    device: dict[str, Any]
    cpu_variant: str
    threads: dict[str, Any]
    version: str
    sees_pictures: bool = False
    address: str = ""
    instance: str = ""

    def set_device(self, report: DeviceReport) -> None:
        """Keep what computes, once that is known."""
        self.device = report.to_json()


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

    def start_chat(self, request: ChatRequest) -> ChatHandle:
        """Queue a chat request. Raises what :meth:`Engine.submit` raises, or InputError for unusable messages."""
        return self.start_chats(request, 1)[0]

    def start_chats(self, request: ChatRequest, count: int) -> list[ChatHandle]:
        """Queue ``count`` replies to the same messages; none if one of them is refused. Raises as for one."""
        encoder = self.require_encoder()
        marks = self._marks(request)
        plan = self.plan_chat(request)
        max_tool_calls = 1 if request.template.parallel_tool_calls is False else None
        prompt = encoder.encode_prompt(plan.prompt, marks)
        num_keep = self._num_keep(prompt.tokens, request)
        handles = self.submit([(prompt.tokens, request)] * count, plan, num_keep=num_keep, pictures=prompt.pictures)
        return [ChatHandle(handle, plan, max_tool_calls=max_tool_calls) for handle in handles]

    def encode_chat(self, request: ChatRequest) -> list[int]:
        """Return the tokens of the prompt of a request, pictures included. Raises as :meth:`start_chat`."""
        return self.require_encoder().encode_prompt(self.plan_chat(request).prompt, self._marks(request)).tokens

    def _marks(self, request: ChatRequest) -> list[PictureMark]:
        marks = marks_of(request.messages)
        if marks and not self.facts.sees_pictures:
            raise NoPicturesError
        return marks

    def plan_chat(self, request: ChatRequest) -> ChatPlan:
        """Render the prompt of a request, this file's system prompt included. Raises InputError.

        A grammar of the request holds from the first token on, so that reply is read as plain text; but a model that
        reasons does so before it answers by a schema. An answer that the messages end with is continued, unless tools
        or a grammar say what it is to be.
        """
        encoder, messages = self.require_encoder(), self.with_system_prompt(request.messages)
        template = replace(request.template, json_schema=None)
        if request.grammar is None and not template.may_call and (begun := begun_answer(messages)):
            return encoder.plan_chat(messages[:-1], replace(template, enable_thinking=False)).begun_with(begun)
        plan = encoder.plan_chat(messages, template)
        if request.grammar is None:
            return plan
        if plan.thinks and request.template.enable_thinking and request.template.json_schema is not None:
            return encoder.plan_chat(messages, request.template)
        return replace(plan, grammar=request.grammar, generation_prompt="", lazy=None, reply_format=None)

    def start_completion(self, prompt: str | Sequence[int], options: GenerationOptions | None = None) -> RequestHandle:
        """Queue the continuation of a text, or of tokens, without a chat template."""
        return self.start_completions([prompt], options or GenerationOptions(), 1)[0]

    def start_completions(
        self, prompts: Sequence[str | Sequence[int]], options: GenerationOptions, count: int
    ) -> list[RequestHandle]:
        """Queue ``count`` continuations of each prompt; none if one of them is refused. Raises as for one."""
        encoder = self.require_encoder()
        encoded = [encoder.encode_text(prompt) if isinstance(prompt, str) else list(prompt) for prompt in prompts]
        return self.submit([(prompt, options) for prompt in encoded for _ in range(count)])

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

    def require_encoder(self) -> PromptEncoder:
        """Return the encoder of the loaded model. Raises what :meth:`Engine.require_loaded` raises."""
        self.engine.require_loaded()
        encoder = self._encoder()
        if encoder is None:
            raise EngineStoppedError("no model is loaded")
        return encoder

    def _num_keep(self, prompt: list[int], request: ChatRequest) -> int:
        """Count the tokens at the beginning that a shifted context keeps: those of the system prompt."""
        if not self.settings.context_shift:
            return 0
        encoder = self.require_encoder()
        head = encoder.encode_text("")
        messages = self.with_system_prompt(request.messages)
        system = list(itertools.takewhile(lambda message: message["role"] == "system", messages))
        if system:
            with contextlib.suppress(InputError):  # some templates want a user's message
                head = encoder.encode_text(encoder.plan_chat(system, request.template).prompt)
        return common_prefix_length(prompt, head)

    def submit(
        self,
        wanted: Sequence[tuple[list[int], GenerationOptions]],
        plan: ChatPlan | None = None,
        *,
        num_keep: int = 0,
        pictures: tuple[PromptPicture, ...] = (),
    ) -> list[RequestHandle]:
        """Queue prompts, those of a chat with its plan and pictures; the ones after the first get other seeds.

        When one is refused the others are cancelled. A shifted context keeps their first ``num_keep`` tokens.
        """
        prepared: dict[int, GenerationRequest] = {}
        handles: list[RequestHandle] = []
        try:
            for index, (prompt, options) in enumerate(wanted):
                if id(options) not in prepared:
                    prepared[id(options)] = self._prepare(options, plan)
                request = replace(
                    prepared[id(options)], prompt_tokens=tuple(prompt), num_keep=num_keep, pictures=pictures
                )
                if request.sampling.seed is not None:
                    request = replace(request, sampling=replace(request.sampling, seed=request.sampling.seed + index))
                handles.append(self.engine.submit(request))
        except Exception:
            for handle in handles:
                handle.cancel()
            raise
        return handles

    def _prepare(self, options: GenerationOptions, plan: ChatPlan | None) -> GenerationRequest:
        """Fill in what the options leave open, and let locked settings win over what they say."""
        settings = self.settings
        wanted = {name: value for name, value in options.sampling.items() if not settings.is_locked(f"sampling.{name}")}
        limits = [options.max_tokens or settings.max_tokens]
        if settings.is_locked("sampling.max_tokens"):
            limits = [limit for limit in (options.max_tokens, settings.max_tokens) if limit is not None]
        plan = plan or ChatPlan(prompt="", grammar=options.grammar)
        shown = self._shown_tokens(plan)
        if plan.grammar is not None:
            self._check_grammar(plan.grammar, "tools" if options.grammar is None else options.grammar_field)
        sampling = replace(
            settings.sampling,
            **wanted,
            logit_bias=self._logit_bias(
                options, is_constrained=plan.grammar is not None and not plan.lazy, shown=shown
            ),
            grammar=plan.grammar,
            grammar_prefix=self._grammar_prefix(plan),
            grammar_lazy=plan.lazy,
        )
        return GenerationRequest(
            prompt_tokens=(),
            sampling=sampling,
            max_tokens=min((limit for limit in limits if limit is not None), default=None),
            stop=(*options.stop, *plan.stop),
            shown_tokens=shown,
            top_logprobs=options.top_logprobs,
            must_fit=options.must_fit and options.max_tokens not in {None, settings.max_tokens},
            adapters=self._adapters(options),
        )

    def _adapters(self, options: GenerationOptions) -> Scales:
        if options.adapters is None:
            return AS_LOADED
        try:
            return scales_of(options.adapters, self.engine.adapters)
        except UnknownAdapterError as error:
            raise FieldRefusedError("lora", str(error)) from error

    def _check_grammar(self, grammar: str, field: str) -> None:
        try:
            self.require_encoder().check_grammar(grammar)
        except InputError as error:
            raise GrammarRefusedError(field, str(error)) from error

    def _grammar_prefix(self, plan: ChatPlan) -> tuple[int, ...]:
        """Return the tokens at the end of the prompt that the grammar describes, too."""
        if plan.grammar is None or plan.lazy is not None or not plan.generation_prompt:
            return ()
        tokens = self.require_encoder().exact_tokens(plan.generation_prompt)
        if tokens is None:
            raise InputError("tools: this model's tokenizer can't write the beginning of a reply as its template does")
        return tuple(tokens)

    def _shown_tokens(self, plan: ChatPlan) -> dict[int, bytes]:
        """Return the control tokens that a reply of this plan shows, with their names."""
        if plan.reply_format is None:
            return {}
        encoder = self.require_encoder()
        tokenized = {name: encoder.tokenize(name, add_special=False, parse_special=True) for name in plan.shown_tokens}
        return {tokens[0]: name.encode() for name, tokens in tokenized.items() if len(tokens) == 1}

    def _logit_bias(
        self, options: GenerationOptions, *, is_constrained: bool, shown: Collection[int]
    ) -> tuple[tuple[int, float], ...]:
        """Collect biases by token: those of the request, and bans of tokens that are no text where they must not come.

        A grammar matches the names of control tokens, which do not appear in the reply unless they are in ``shown``,
        so the others are banned with one.
        """
        biases: dict[int, float] = {}
        encoder = self.require_encoder()
        for key, bias in options.logit_bias:
            if isinstance(key, str):
                biases |= dict.fromkeys(encoder.tokenize(key, add_special=False, parse_special=True), bias)
            elif key < encoder.token_groups().count:
                biases[key] = bias
            else:
                last = encoder.token_groups().count - 1
                raise FieldRefusedError("logit_bias", f"there is no token {key}; this model's are 0 to {last}")
        if options.ignore_eos:
            biases |= dict.fromkeys(encoder.token_groups().end, -math.inf)
        if is_constrained:
            banned = (token for token in encoder.token_groups().control if token not in shown)
            biases |= dict.fromkeys(banned, -math.inf)
        return tuple(sorted(biases.items()))

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
            "sampling": {**_shown(settings.sampling), "max_tokens": settings.max_tokens},
            "locked": sorted(settings.locked),
        }

    def request_quit(self) -> None:
        """End the program soon, but not before the answer to this request can be sent."""
        self._on_quit()


def begun_answer(messages: Sequence[Message]) -> str:
    """Return the text of the answer that stands behind the last question; empty where there is none to continue."""
    if len(messages) < 2 or messages[-1]["role"] != "assistant" or messages[-2]["role"] not in {"user", "tool"}:
        return ""
    last = messages[-1]
    return "" if "tool_calls" in last or "reasoning_content" in last else str(last["content"])


def _shown(sampling: SamplingParams) -> dict[str, Any]:
    """Return the settings without what only a request can give."""
    return {name: value for name, value in asdict(sampling).items() if name not in REQUEST_ONLY}
