"""A prompt encoder for a model over bytes: token ``n`` is the byte ``n - 1``, 0 ends, 257 is a control token."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from packer.errors import InputError
from runtime.chat_template import ChatPlan
from runtime.pictures import EncodedPrompt
from runtime.prompt import TokenGroups
from tests.support.gbnf_samples import Grammar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.chat_template import ChatOptions
    from runtime.pictures import PictureMark

END = 0
BOS = 257
FAILING_TOKEN = 666
NUM_TOKENS = 258


class ByteEncoder:
    """Everything that :class:`runtime.prompt.PromptEncoder` promises; remembers the messages it was given."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.options: list[ChatOptions | None] = []
        self.plan = ChatPlan(prompt="")

    def plan_chat(self, messages: Sequence[Any], options: ChatOptions | None = None) -> ChatPlan:
        self.seen.append(list(messages))
        self.options.append(options)
        return replace(self.plan, prompt="".join(message["content"] for message in messages))

    def exact_tokens(self, text: str) -> list[int] | None:
        return self.encode_text(text)

    def encode_text(self, text: str) -> list[int]:
        return [FAILING_TOKEN if byte == ord("!") else byte + 1 for byte in text.encode()]

    def encode_prompt(self, text: str, marks: Sequence[PictureMark]) -> EncodedPrompt:
        assert not marks
        return EncodedPrompt(tokens=self.encode_text(text))

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        if parse_special and text == "<bos>":
            return [BOS]
        return [BOS] * add_special + [byte + 1 for byte in text.encode()]

    def token_bytes(self, token: int, *, special: bool) -> bytes:
        if not 0 <= token < NUM_TOKENS:
            raise InputError(f"there is no token {token}")
        if token in {END, BOS}:
            return (b"<bos>" if token == BOS else b"<end>") if special else b""
        return bytes([token - 1])

    def token_groups(self) -> TokenGroups:
        return TokenGroups(count=NUM_TOKENS, end=(END,), control=(BOS,))

    def check_grammar(self, grammar: str) -> None:
        try:
            Grammar(grammar)
        except ValueError as error:
            raise InputError(f"it is no valid GBNF: {error}") from error
