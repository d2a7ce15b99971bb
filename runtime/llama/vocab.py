"""Text to tokens and back. Safe to use from any thread (llama.h: the tokenization API is thread-safe)."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from packer.errors import InputError, MachineError

PIECE_BYTES = 128
NULL_TOKEN = -1


class Vocab:
    """The vocabulary of a loaded model; valid as long as the model is."""

    def __init__(self, api: Any, pointer: int) -> None:
        """Wrap a ``const llama_vocab *``."""
        self._api = api
        self._pointer = pointer
        self._lock = threading.Lock()
        self.num_tokens = int(api.llama_vocab_n_tokens(pointer))
        self.bos = int(api.llama_vocab_bos(pointer))
        self.eos = int(api.llama_vocab_eos(pointer))
        self.adds_bos = bool(api.llama_vocab_get_add_bos(pointer)) and self.bos != NULL_TOKEN

    def tokenize(self, text: str, *, add_special: bool = False, parse_special: bool = True) -> list[int]:
        """Return the token ids of ``text``; ``parse_special`` reads ``<|im_start|>`` and the like as one token.

        Raises InputError for a text that is too long for the tokenizer, MachineError after :meth:`close`.
        """
        with self._lock:
            if not self._pointer:
                raise MachineError("the program is shutting down")
            return self._tokenize(text.encode("utf-8", "replace"), add_special, parse_special)

    def close(self) -> None:
        """Refuse further texts; waits for one that is being tokenized, so that the model can be freed safely."""
        with self._lock:
            self._pointer = 0

    def _tokenize(self, encoded: bytes, add_special: bool, parse_special: bool) -> list[int]:
        capacity = len(encoded) + 8
        for _attempt in range(2):
            buffer = (ctypes.c_int32 * capacity)()
            count = self._api.llama_tokenize(
                self._pointer, encoded, len(encoded), buffer, capacity, add_special, parse_special
            )
            if count >= 0:
                return buffer[:count]
            capacity = -count
        raise InputError(f"a text of {len(encoded)} bytes can't be tokenized by this model")

    def piece(self, token: int) -> bytes:
        """Return the bytes that ``token`` adds to the text: empty for control tokens, maybe part of a character."""
        buffer = ctypes.create_string_buffer(PIECE_BYTES)
        count = self._api.llama_token_to_piece(self._pointer, token, buffer, PIECE_BYTES, 0, False)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = self._api.llama_token_to_piece(self._pointer, token, buffer, -count, 0, False)
        return buffer.raw[:count]

    def exact_tokens(self, text: bytes) -> list[int] | None:
        """Return tokens that make exactly ``text``, control tokens by name; ``None`` where the tokenizer adds to it.

        SentencePiece puts a space in front of a text, so the text is also tried behind a newline.
        """
        for prefix in (b"", b"\n"):
            tokens = self.tokenize((prefix + text).decode("utf-8", "replace"))
            pieces = [self.token_bytes(token, special=True) for token in tokens]
            for first in range(3 if prefix else 1):
                if b"".join(pieces[first:]) == text:
                    return tokens[first:]
        return None

    def token_bytes(self, token: int, *, special: bool) -> bytes:
        """Return :meth:`piece`, for a control token its name if ``special``, unlike that one also while the model ends.

        Raises MachineError after :meth:`close`.
        """
        with self._lock:
            if not self._pointer:
                raise MachineError("the program is shutting down")
            piece = self.piece(token)
            return piece if piece or not special else self.text_of(token).encode()

    def text_of(self, token: int) -> str:
        """Return the name of a token as the vocabulary writes it, such as ``<|im_end|>``; empty for none."""
        if not 0 <= token < self.num_tokens:
            return ""
        text: bytes | None = self._api.llama_vocab_get_text(self._pointer, token)
        return (text or b"").decode("utf-8", "replace")

    def is_end(self, token: int) -> bool:
        """Tell whether ``token`` ends a reply."""
        return bool(self._api.llama_vocab_is_eog(self._pointer, token))
