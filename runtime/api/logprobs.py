"""``logprobs`` in requests and answers: the chat API's objects and the older completion API's lists.

The values are those of the model before sampling (see ``runtime.llama.logprobs``). Sources: OpenAI API reference,
"Create chat completion" (``logprobs.content``) and "Create completion" (``logprobs``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.api.fields import flag, integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.engine.logprobs import TokenLogprob, TokenLogprobs
    from runtime.prompt import PromptEncoder

MAX_TOP_LOGPROBS = 20


def chat_top_logprobs(document: dict[str, Any]) -> int | None:
    """Read ``logprobs`` and ``top_logprobs`` of a chat request: the number of alternatives, ``None`` for no logprobs.

    ``top_logprobs`` alone asks for both; ``logprobs`` set to false asks for neither.
    """
    wanted, count = flag(document, "logprobs"), integer(document, "top_logprobs", 0, MAX_TOP_LOGPROBS)
    if document.get("logprobs") is None:
        return count
    return (count or 0) if wanted else None


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
        if not self.wanted:
            return None
        content = [
            {**self._described(one.chosen), "top_logprobs": [self._described(other) for other in one.top]}
            for one in tokens
        ]
        return {"content": content, "refusal": None}

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
