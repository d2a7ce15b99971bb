"""Prompts as the engine wants them: messages or text in, token ids out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from runtime.chat_template import ChatTemplate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.chat_template import Message
    from runtime.llama.model import Model


class PromptEncoder(Protocol):
    """Turns conversations into prompt tokens; safe to use from any thread."""

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Return the prompt that asks for the next reply. Raises InputError when the messages don't fit the model."""

    def encode_text(self, text: str) -> list[int]:
        """Return the tokens of ``text`` itself, to be continued."""


class LlamaPromptEncoder:
    """Uses the loaded model's vocabulary and chat template."""

    def __init__(self, model: Model) -> None:
        """Compile the model's template. Raises InputError when it is broken."""
        vocab = model.vocab
        self._vocab = vocab
        self._bos_text = vocab.text_of(vocab.bos)
        self._template = ChatTemplate(model.chat_template, bos_text=self._bos_text, eos_text=vocab.text_of(vocab.eos))

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Render and tokenize; a BOS token is added unless the template wrote it."""
        return self.encode_text(self._template.render(messages))

    def encode_text(self, text: str) -> list[int]:
        """Tokenize, reading special tokens as such, with the BOS token that the model wants in front."""
        tokens = self._vocab.tokenize(text)
        if self._vocab.adds_bos and tokens[:1] != [self._vocab.bos]:
            tokens.insert(0, self._vocab.bos)
        return tokens
