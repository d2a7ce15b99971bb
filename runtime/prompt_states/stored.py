"""The prompt states in a packed file: found, proven to be the right ones and whole, and mapped when they are wanted.

The key in the manifest says what a state was made with, the archive's CRC-32 that its bytes are those that were packed.
The check reads all of a state, in a thread of its own while the weights are loaded, which brings it into memory too.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import mmap
import threading
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.container import prompt_states

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LOG = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class PromptFile:
    """Where the entry of a state lies, and what manifest and archive say about it."""

    path: Path
    offset_bytes: int
    size_bytes: int
    crc32: int
    key: str


@dataclass(frozen=True, kw_only=True)
class PromptFiles:
    """The states of a packed file, and what its model is: digests as in ``prompt_states.state_key``."""

    files: tuple[PromptFile, ...]
    model_sha256: str
    adapters: tuple[tuple[str, float], ...]
    llama_cpp: str


@dataclass(frozen=True, kw_only=True)
class MappedState:
    """The bytes of a state in memory."""

    address: int
    size_bytes: int


class PromptState:
    """One state whose key is right. Its bytes are being checked from the beginning on."""

    def __init__(self, file: PromptFile, tokens: list[int], head_bytes: int) -> None:
        """Start to check; use :func:`open_prompts` to make one."""
        self.tokens = tokens
        self._file = file
        self._head_bytes = head_bytes
        self._intact = False
        self._checking = threading.Thread(target=self._check, name="prompt state", daemon=True)
        self._checking.start()

    def _check(self) -> None:
        """Compare the checksum of the whole entry."""
        left, checksum = self._file.size_bytes, 0
        try:
            with self._file.path.open("rb") as stream:
                stream.seek(self._file.offset_bytes)
                while left and (piece := stream.read(min(CHUNK_BYTES, left))):
                    checksum = zlib.crc32(piece, checksum)
                    left -= len(piece)
        except OSError as error:
            _LOG.warning("%s: a packed prompt can't be read (%s)", self._file.path, error.strerror)
            return
        self._intact = left == 0 and checksum == self._file.crc32
        if not self._intact:
            _LOG.warning("%s: a packed prompt is damaged and not used; packer verify says more", self._file.path)

    @contextlib.contextmanager
    def opened(self) -> Iterator[MappedState | None]:
        """Map the state for as long as the block lasts; ``None`` when its bytes are not what was packed."""
        self._checking.join()
        if not self._intact:
            yield None
            return
        # What is mapped starts at a multiple of 64 KiB; a private copy on write is what ctypes takes.
        with (
            self._file.path.open("rb") as stream,
            mmap.mmap(
                stream.fileno(), self._file.size_bytes, access=mmap.ACCESS_COPY, offset=self._file.offset_bytes
            ) as mapping,
        ):
            held = ctypes.c_char.from_buffer(mapping)
            try:
                address = ctypes.addressof(held) + self._head_bytes
                yield MappedState(address=address, size_bytes=self._file.size_bytes - self._head_bytes)
            finally:
                del held


def open_prompts(packed: PromptFiles | None, kv_type: str) -> Sequence[PromptState]:
    """Return the states that this model can use with a KV cache in ``kv_type``; others are as if not there."""
    if packed is None:
        return ()
    found = []
    for file in packed.files:
        try:
            head = _read_head(file)
        except (OSError, ValueError) as error:
            _LOG.warning("%s: a packed prompt can't be used: %s", file.path, error)
            continue
        tokens = prompt_states.parse_tokens(head)
        key = prompt_states.state_key(
            model_sha256=packed.model_sha256,
            adapters=packed.adapters,
            kv_type=kv_type,
            llama_cpp=packed.llama_cpp,
            tokens=tokens,
        )
        if key == file.key:
            found.append(PromptState(file, tokens, len(head)))
        else:
            _LOG.info("a packed prompt of %d tokens was made for other settings; it is not used", len(tokens))
    return found


def _read_head(file: PromptFile) -> bytes:
    with file.path.open("rb") as stream:
        stream.seek(file.offset_bytes)
        preamble = stream.read(min(prompt_states.PREAMBLE.size, file.size_bytes))
        size = prompt_states.head_bytes(preamble, file.size_bytes)
        head = preamble + stream.read(size - len(preamble))
    if len(head) != size:
        raise ValueError("it ends early")
    return head
