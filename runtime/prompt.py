"""Prompts as the engine wants them: messages or text in, token ids out."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from packer.errors import InputError, MachineError
from runtime.chat_template import ChatTemplate
from runtime.gbnf_check import check_gbnf
from runtime.llama.errors import GrammarError
from runtime.llama.sampler import start_grammar
from runtime.pictures import EncodedPrompt, NoPicturesError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime.chat_template import ChatOptions, ChatPlan, Message
    from runtime.llama.model import Model
    from runtime.pictures import PictureMark, PictureReader

END_ROLES = ("eos", "eot", "fim_pad", "fim_rep", "fim_sep")


class PromptEncoder(Protocol):
    """Turns conversations into prompt tokens; safe to use from any thread."""

    def plan_chat(self, messages: Sequence[Message], options: ChatOptions | None = None) -> ChatPlan:
        """Return the prompt that asks for the next reply, as text, and how the reply is generated and read.

        Raises InputError when the messages or the options don't fit the model.
        """

    def encode_text(self, text: str) -> list[int]:
        """Return the tokens of ``text`` itself, to be continued."""

    def encode_prompt(self, text: str, marks: Sequence[PictureMark]) -> EncodedPrompt:
        """Return the tokens of ``text`` with the pictures of ``marks``. Raises InputError for an unusable picture."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return the tokens of ``text``, with the model's BOS token in front if ``add_special``."""

    def token_bytes(self, token: int, *, special: bool) -> bytes:
        """Return the bytes of one token, of control tokens only if ``special``. Raises InputError for no token."""

    def token_groups(self) -> TokenGroups:
        """Return the tokens that are no text."""

    def exact_tokens(self, text: str) -> list[int] | None:
        """Return tokens that make exactly ``text``, ``None`` where the tokenizer always adds something."""

    def check_grammar(self, grammar: str) -> None:
        """Raise InputError unless ``grammar`` is valid."""


@dataclass(frozen=True, kw_only=True)
class TokenGroups:
    """Tokens that are no text: those that end a reply and the other control tokens. ``count``: the whole vocabulary."""

    count: int
    end: tuple[int, ...]
    control: tuple[int, ...]


class LlamaPromptEncoder:
    """Uses the loaded model's vocabulary and chat template."""

    def __init__(self, model: Model, pictures: PictureReader | None = None) -> None:
        """Compile the model's template. Raises InputError when it is broken."""
        self._pictures = pictures
        vocab = model.vocab
        self._model = model
        self._groups: TokenGroups | None = None
        self._groups_lock = threading.Lock()
        self._vocab = vocab
        self._bos_text = vocab.text_of(vocab.bos)
        self._template = ChatTemplate(
            model.chat_template,
            tool_source=model.tool_template,
            bos_text=self._bos_text,
            eos_text=vocab.text_of(vocab.eos),
        )

    def plan_chat(self, messages: Sequence[Message], options: ChatOptions | None = None) -> ChatPlan:
        """Render with the model's template."""
        return self._template.plan(messages, options)

    def encode_text(self, text: str) -> list[int]:
        """Tokenize, reading special tokens as such, with the BOS token that the model wants unless it is there."""
        tokens = self._vocab.tokenize(text)
        if self._vocab.adds_bos and tokens[:1] != [self._vocab.bos]:
            tokens.insert(0, self._vocab.bos)
        return tokens

    def encode_prompt(self, text: str, marks: Sequence[PictureMark]) -> EncodedPrompt:
        """Tokenize, with the rows of pictures where their marks stand."""
        if not marks:
            return EncodedPrompt(tokens=self.encode_text(text))
        if self._pictures is None:
            raise NoPicturesError
        return self._pictures.encode(text, marks, self.encode_text, self._vocab.tokenize)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Tokenize as asked."""
        return self._vocab.tokenize(text, add_special=add_special, parse_special=parse_special)

    def token_bytes(self, token: int, *, special: bool) -> bytes:
        """Return the bytes of one token."""
        if not 0 <= token < self._vocab.num_tokens:
            raise InputError(f"there is no token {token}; this model's are 0 to {self._vocab.num_tokens - 1}")
        return self._vocab.token_bytes(token, special=special)

    def token_groups(self) -> TokenGroups:
        """Look through the vocabulary, the first time only.

        Tokens that end a reply are control tokens or have a role of their own (``llama_vocab::impl::load``).
        """
        with self._groups_lock:
            if self._groups is None:
                api, pointer = self._model.library.api, self._vocab_pointer()
                num_tokens = self._vocab.num_tokens
                control = {token for token in range(num_tokens) if api.llama_vocab_is_control(pointer, token)}
                roles = {getattr(api, f"llama_vocab_{role}")(pointer) for role in END_ROLES}
                end = {token for token in control | roles if token >= 0 and api.llama_vocab_is_eog(pointer, token)}
                self._groups = TokenGroups(
                    count=num_tokens, end=tuple(sorted(end)), control=tuple(sorted(control - end))
                )
            return self._groups

    @contextlib.contextmanager
    def looking_through_vocabulary(self) -> Iterator[None]:
        """Find the token groups beside what is done meanwhile: of 152,000 tokens it takes some 0.05 s."""
        looking = threading.Thread(target=self.token_groups, name="vocabulary")
        looking.start()
        try:
            yield
        finally:
            looking.join()

    def exact_tokens(self, text: str) -> list[int] | None:
        """Ask the vocabulary."""
        return self._vocab.exact_tokens(text.encode("utf-8", "replace"))

    def check_grammar(self, grammar: str) -> None:
        """Check the text, then let llama.cpp read it, which would print one that it can't read."""
        check_gbnf(grammar, lambda name: len(self._vocab.tokenize(name)) == 1)
        api = self._model.library.api
        try:
            api.llama_sampler_free(start_grammar(api, self._vocab_pointer(), grammar))
        except GrammarError as error:
            raise InputError(str(error)) from error

    def _vocab_pointer(self) -> int:
        if not self._model.pointer:
            raise MachineError("the program is shutting down")
        return int(self._model.library.api.llama_model_get_vocab(self._model.pointer))
