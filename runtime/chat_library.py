"""Calls libpacker-chat, llama.cpp's own chat templates and reply parsers behind JSON (``packer/chat_library``).

It knows pointers and JSON, not what the fields mean. Objects may be used by one thread at a time, templates by several.
"""

from __future__ import annotations

import ctypes
import functools
import json
import weakref
from typing import TYPE_CHECKING, Any

from packer.errors import InputError, MachineError
from runtime.llama import native
from runtime.llama.library import library_directory

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY_NAME = "packer-chat"
ABI_VERSION = 1
_Answer = ctypes.c_void_p
FUNCTIONS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "packer_chat_abi_version": ((), ctypes.c_int32),
    "packer_chat_template_open": ((ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)), _Answer),
    "packer_chat_template_apply": ((ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t), _Answer),
    "packer_chat_template_close": ((ctypes.c_void_p,), None),
    "packer_chat_parser_open": ((ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)), _Answer),
    "packer_chat_parser_push": ((ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int32), _Answer),
    "packer_chat_parser_close": ((ctypes.c_void_p,), None),
    "packer_chat_free": ((_Answer,), None),
}


class ChatLibraryError(InputError):
    """What was given can't be used; the message says why. ``is_limit``: it takes too long, too much memory or depth."""

    def __init__(self, message: str, *, is_limit: bool = False) -> None:
        """Keep the reason."""
        super().__init__(message)
        self.is_limit = is_limit


class ChatLibrary:
    """The loaded library."""

    def __init__(self, path: Path) -> None:
        """Load it. Raises MachineError when that fails."""
        self.path = path
        try:
            self._functions = ctypes.CDLL(str(path))
            for name, (arguments, result) in FUNCTIONS.items():
                function = getattr(self._functions, name)
                function.argtypes, function.restype = arguments, result
        except (OSError, AttributeError) as error:
            raise MachineError(
                f"{path}: can't be loaded ({error}); delete the unpacked copy and start again"
            ) from error
        version = self._functions.packer_chat_abi_version()
        if version != ABI_VERSION:
            raise MachineError(f"{path}: expected version {ABI_VERSION} of its interface, found {version}")

    def open_template(self, request: dict[str, Any]) -> NativeTemplate:
        """Compile a template. Raises ChatLibraryError."""
        pointer, answer = self._open("packer_chat_template_open", request)
        return NativeTemplate(self, pointer, answer["caps"])

    def open_parser(self, request: dict[str, Any]) -> NativeParser:
        """Prepare to read a reply. Raises ChatLibraryError."""
        pointer, _answer = self._open("packer_chat_parser_open", request)
        return NativeParser(self, pointer)

    def call(self, name: str, *arguments: Any) -> dict[str, Any]:
        """Call a function that answers with JSON. Raises ChatLibraryError for an answer that is an error."""
        address = getattr(self._functions, name)(*arguments)
        if not address:
            raise MachineError("there is not enough memory")
        try:
            answer: dict[str, Any] = json.loads(ctypes.string_at(address))
        finally:
            self._functions.packer_chat_free(address)
        if error := answer.get("error"):
            raise ChatLibraryError(" ".join(error["message"].split()), is_limit=error["kind"] == "limit")
        return answer

    def close(self, name: str, pointer: int) -> None:
        """Call a function that frees ``pointer``."""
        getattr(self._functions, name)(pointer)

    def _open(self, name: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        pointer, encoded = ctypes.c_void_p(), encode(request)
        answer = self.call(name, encoded, len(encoded), ctypes.byref(pointer))
        if pointer.value is None:
            raise MachineError(f"{name} gave nothing")
        return pointer.value, answer


class NativeTemplate:
    """A compiled template; freed with this object. ``caps`` says what it can do, by llama.cpp's names."""

    def __init__(self, library: ChatLibrary, pointer: int, caps: dict[str, bool]) -> None:
        """Take over the pointer."""
        self.caps = caps
        self._library, self.pointer = library, pointer
        weakref.finalize(self, library.close, "packer_chat_template_close", pointer)

    def apply(self, request: dict[str, Any]) -> dict[str, Any]:
        """Render a conversation. Raises ChatLibraryError."""
        encoded = encode(request)
        return self._library.call("packer_chat_template_apply", self.pointer, encoded, len(encoded))


class NativeParser:
    """Reads one reply; freed with this object."""

    def __init__(self, library: ChatLibrary, pointer: int) -> None:
        """Take over the pointer."""
        self._library, self.pointer = library, pointer
        weakref.finalize(self, library.close, "packer_chat_parser_close", pointer)

    def push(self, text: str, *, is_final: bool) -> dict[str, Any]:
        """Add text and return what is new. Raises ChatLibraryError when a limit is reached."""
        encoded = text.encode("utf-8", "replace")
        return self._library.call("packer_chat_parser_push", self.pointer, encoded, len(encoded), int(is_final))


def encode(request: dict[str, Any]) -> bytes:
    """Return JSON in UTF-8; half surrogate pairs, which UTF-8 can't hold, become question marks."""
    return json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")


@functools.cache
def load_chat_library() -> ChatLibrary:
    """Load the library that stands beside llama.cpp's, once."""
    return ChatLibrary(library_directory() / native.library_name(LIBRARY_NAME))
