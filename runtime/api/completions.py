"""``POST /v1/completions``: text continued as it is, without a chat template; several prompts and choices at once.

Source: OpenAI API reference, "Create completion". Without ``max_tokens`` a reply ends where the model ends it, as in
llama.cpp's server.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Blueprint, jsonify

from runtime.api.chat_request import MAX_CHOICES, wants_usage
from runtime.api.context import chat_service, json_body
from runtime.api.errors import ApiError, api_error
from runtime.api.fields import flag, integer, text, whole_list, wrong
from runtime.api.generation_fields import generation_fields
from runtime.api.logprobs import LogprobWriter, completion_top_logprobs
from runtime.api.replies import (
    Replies,
    Reply,
    event_stream,
    finish_reason,
    now_s,
    sse,
    start_replies,
    usage_document,
)
from runtime.chat_service import GenerationOptions
from runtime.engine.sequence import Failed, Finished, TextDelta

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flask.typing import ResponseReturnValue

    from runtime.engine.logprobs import TokenLogprobs
    from runtime.engine.sequence import RequestHandle, Usage

MAX_PROMPTS = 16
MAX_REPLIES = 32
Prompt = str | list[int]


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("completions", __name__)
    blueprint.post("/v1/completions")(create_completion)
    return blueprint


@dataclass(frozen=True, kw_only=True)
class ParsedCompletion:
    """A checked request."""

    prompts: list[Prompt]
    options: GenerationOptions
    num_choices: int
    stream: bool
    include_usage: bool

    @property
    def num_replies(self) -> int:
        """How many replies are generated: every choice of every prompt."""
        return len(self.prompts) * self.num_choices


def parse_completion(document: dict[str, Any]) -> ParsedCompletion:
    """Check ``document``. Raises ApiError 400 that names the field, what was expected and what was found."""
    _refuse_unsupported(document)
    text(document, "model")
    stream = flag(document, "stream")
    parsed = ParsedCompletion(
        prompts=read_prompts(document.get("prompt")),
        options=GenerationOptions(
            **generation_fields(document, "max_tokens"), top_logprobs=completion_top_logprobs(document)
        ),
        num_choices=integer(document, "n", 1, MAX_CHOICES) or 1,
        stream=stream,
        include_usage=wants_usage(document) and stream,
    )
    if parsed.num_replies > MAX_REPLIES:
        raise ApiError(400, f"n: at most {MAX_REPLIES} replies at once, found {parsed.num_replies}", param="n")
    return parsed


def _refuse_unsupported(document: dict[str, Any]) -> None:
    if flag(document, "echo"):
        raise ApiError(400, "echo: the prompt can't be repeated in the reply; send the request without", param="echo")
    if text(document, "suffix"):
        raise ApiError(400, "suffix: text can't be filled in before a suffix; send the request without", param="suffix")
    best_of, count = integer(document, "best_of", 1), integer(document, "n", 1, MAX_CHOICES) or 1
    if best_of is not None and best_of != count:
        raise ApiError(400, f"best_of: expected n, which is {count}, found {best_of}", param="best_of")


def read_prompts(prompt: Any) -> list[Prompt]:
    """Read a text, a list of tokens, or a list of either."""
    if isinstance(prompt, str) or whole_list(prompt):
        prompt = [prompt]
    if not isinstance(prompt, list):
        raise wrong("prompt", "a string, a list of strings or a list of tokens", prompt)
    if not 1 <= len(prompt) <= MAX_PROMPTS:
        raise ApiError(400, f"prompt: expected 1 to {MAX_PROMPTS} prompts, found {len(prompt)}", param="prompt")
    entries = [entry if isinstance(entry, str) else whole_list(entry) for entry in prompt]
    for entry, found in zip(entries, prompt, strict=True):
        if entry is None:
            raise wrong("prompt", "a string, a list of strings or a list of tokens", found)
        if not entry:
            raise ApiError(400, "prompt: an empty prompt can't be continued", param="prompt")
    return [entry for entry in entries if entry is not None]


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What all pieces of one answer share."""

    model: str
    num_choices: int
    logprobs: LogprobWriter
    id: str = field(default_factory=lambda: f"cmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=now_s)

    def document(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the body of an answer, or a piece of one."""
        head = {"id": self.id, "object": "text_completion", "created": self.created, "model": self.model}
        return {**head, "choices": choices}

    def choice(self, index: int, reply: str, logprobs: Sequence[TokenLogprobs], reason: str | None) -> dict[str, Any]:
        """Return one entry of ``choices``."""
        return {"text": reply, "index": index, "logprobs": self.logprobs.completion(logprobs), "finish_reason": reason}

    def whole(self, replies: list[Reply]) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        choices = [
            self.choice(index, reply.text, reply.logprobs, finish_reason(reply.finished))
            for index, reply in enumerate(replies)
        ]
        usage = usage_document([reply.finished.usage for reply in replies], self.num_choices)
        return {**self.document(choices), "usage": usage}


def create_completion() -> ResponseReturnValue:
    """Answer a completion request."""
    parsed = parse_completion(json_body())
    service = chat_service()

    def start() -> list[RequestHandle]:
        _check_tokens(parsed.prompts, service.require_encoder().token_groups().count)
        return service.start_completions(parsed.prompts, parsed.options, parsed.num_choices)

    replies = start_replies(start, "prompt")
    logprobs = LogprobWriter(encoder=service.require_encoder(), wanted=parsed.options.top_logprobs is not None)
    completion = Completion(model=service.facts.model_name, num_choices=parsed.num_choices, logprobs=logprobs)
    if parsed.stream:
        return event_stream(replies, _pieces(replies, completion, parsed))
    return jsonify(completion.whole(replies.collect()))


def _check_tokens(prompts: list[Prompt], count: int) -> None:
    for prompt in prompts:
        for token in () if isinstance(prompt, str) else prompt:
            if not 0 <= token < count:
                raise ApiError(400, f"prompt: this model's tokens are 0 to {count - 1}, found {token}", param="prompt")


def _pieces(replies: Replies, completion: Completion, parsed: ParsedCompletion) -> Iterator[bytes]:
    usages: dict[int, Usage] = {}
    for index, event in replies:
        if isinstance(event, TextDelta):
            yield sse(completion.document([completion.choice(index, event.text, event.logprobs, None)]))
        elif isinstance(event, Failed):
            yield sse(api_error(event.error).document())
            return
        elif isinstance(event, Finished):
            usages[index] = event.usage
            yield sse(completion.document([completion.choice(index, "", (), finish_reason(event))]))
    if len(usages) < parsed.num_replies:
        return
    if parsed.include_usage:
        total = usage_document([usages[index] for index in sorted(usages)], parsed.num_choices)
        yield sse({**completion.document([]), "usage": total})
    yield b"data: [DONE]\n\n"
