"""A prompt encoder for a model over bytes: token ``n`` is the byte ``n - 1``, 0 ends, 257 is a control token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packer.errors import InputError
from runtime.prompt import TokenGroups
from tests.support.gbnf_samples import Grammar

if TYPE_CHECKING:
    from collections.abc import Sequence

END = 0
BOS = 257
FAILING_TOKEN = 666
NUM_TOKENS = 258


class ByteEncoder:
    """Everything that :class:`runtime.prompt.PromptEncoder` promises; remembers the messages it was given."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def encode_chat(self, messages: Sequence[Any]) -> list[int]:
        return self.encode_text(self.render_chat(messages))

    def render_chat(self, messages: Sequence[Any]) -> str:
        self.seen.append(list(messages))
        return "".join(message["content"] for message in messages)

    def encode_text(self, text: str) -> list[int]:
        return [FAILING_TOKEN if byte == ord("!") else byte + 1 for byte in text.encode()]

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
