"""``logprobs`` in requests and answers: the chat APIs' objects and the older completion API's lists.

The values are those of the model before sampling (see ``runtime.llama.logprobs``). Sources: OpenAI API reference,
"Create chat completion" (``logprobs.content``), "Create a model response" (``include``) and "Create completion"
(``logprobs``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.api.errors import ApiError
from runtime.api.fields import flag, integer, wrong

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.engine.logprobs import TokenLogprob, TokenLogprobs
    from runtime.prompt import PromptEncoder

MAX_TOP_LOGPROBS = 20
INCLUDED_LOGPROBS = "message.output_text.logprobs"
INCLUDABLE = (
    INCLUDED_LOGPROBS,
    "reasoning.encrypted_content",
    "message.input_image.image_url",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
)
"""What a model response may be asked to include; all but the first belong to things that no answer here has."""


def chat_top_logprobs(document: dict[str, Any]) -> int | None:
    """Read ``logprobs`` and ``top_logprobs`` of a chat request: the number of alternatives, ``None`` for no logprobs.

    ``top_logprobs`` alone asks for both; ``logprobs`` set to false asks for neither.
    """
    wanted, count = flag(document, "logprobs"), integer(document, "top_logprobs", 0, MAX_TOP_LOGPROBS)
    if document.get("logprobs") is None:
        return count
    return (count or 0) if wanted else None


def response_top_logprobs(document: dict[str, Any]) -> int | None:
    """Read ``include`` and ``top_logprobs`` of a request for a model response; ``None`` for no logprobs.

    A ``top_logprobs`` above zero alone asks for both.
    """
    count, included = integer(document, "top_logprobs", 0, MAX_TOP_LOGPROBS), document.get("include")
    if included is not None and not isinstance(included, list):
        raise wrong("include", "a list", included)
    for name in included or ():
        if name not in INCLUDABLE:
            known = ", ".join(INCLUDABLE)
            raise ApiError(400, f"include: expected any of {known}, found {name!r:.60}", param="include")
    return (count or 0) if INCLUDED_LOGPROBS in (included or ()) else (count or None)


def completion_top_logprobs(document: dict[str, Any]) -> int | None:
    """Read ``logprobs`` of a completion request, which is a number there."""
    return integer(document, "logprobs", 0, MAX_TOP_LOGPROBS)


@dataclass(frozen=True, kw_only=True)
class LogprobWriter:
    """Describes tokens for one answer; ``wanted`` unset makes every description null."""

    encoder: PromptEncoder
    wanted: bool

    def chat(self, tokens: Sequence[TokenLogprobs]) -> dict[str, Any] | None:
        """Return ``choices[].logprobs`` of a chat completion or of a piece of one."""
        return {"content": self.response(tokens), "refusal": None} if self.wanted else None

    def response(self, tokens: Sequence[TokenLogprobs]) -> list[dict[str, Any]]:
        """Return ``logprobs`` of a part of a model response."""
        return [
            {**self._described(one.chosen), "top_logprobs": [self._described(other) for other in one.top]}
            for one in (tokens if self.wanted else ())
        ]

    def completion(self, tokens: Sequence[TokenLogprobs]) -> dict[str, Any] | None:
        """Return ``choices[].logprobs`` of a text completion; offsets count characters of the reply."""
        if not self.wanted:
            return None
        return {
            "tokens": [self._name(one.chosen.token) for one in tokens],
            "token_logprobs": [one.chosen.logprob for one in tokens],
            "top_logprobs": [self._alternatives(one) for one in tokens],
            "text_offset": [one.text_offset for one in tokens],
        }

    @staticmethod
    def event(described: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return ``logprobs`` of an event of a model response, which leave out ``bytes``, of those of its part."""
        return [
            {
                "token": one["token"],
                "logprob": one["logprob"],
                "top_logprobs": [{name: other[name] for name in ("token", "logprob")} for other in one["top_logprobs"]],
            }
            for one in described
        ]

    def _described(self, one: TokenLogprob) -> dict[str, Any]:
        data = self._bytes(one.token)
        return {"token": data.decode("utf-8", "replace"), "logprob": one.logprob, "bytes": list(data)}

    def _alternatives(self, one: TokenLogprobs) -> dict[str, float]:
        """Map texts to log probabilities; the likelier one stays where two tokens have the same text."""
        found: dict[str, float] = {}
        for other in (*one.top, one.chosen) if one.top else ():
            found.setdefault(self._name(other.token), other.logprob)
        return found

    def _name(self, token: int) -> str:
        """Return the text of a token, or its bytes the way OpenAI's completion API writes part of a character."""
        data = self._bytes(token)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)

    def _bytes(self, token: int) -> bytes:
        return self.encoder.token_bytes(token, special=True)
