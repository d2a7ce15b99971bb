"""Pictures in messages: read from data URLs, marked in the prompt's text, turned into rows for the model.

In a message a picture is a part of the kind that llama.cpp's templates know, ``media_marker``, whose text is a mark
that nobody can guess, so that no text passes for a picture. The mark carries the file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packer.errors import InputError, PackerError
from runtime.engine.pictures import PromptPicture, stand_ins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.llama.projector import Picture, Projector

MAX_PICTURE_BYTES = 12 << 20
MAX_PICTURES = 32
KEPT_BYTES = 128 << 20
"""Rows of pictures seen lately; the next message of the same chat brings the same pictures again."""

NO_PROJECTOR = "the model in this file can't see pictures"
DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]+)?(;[a-z0-9=._-]+)*;base64,", re.IGNORECASE)


class NoPicturesError(InputError):
    """A picture for a model that sees none."""

    def __init__(self) -> None:
        """Say what would be needed."""
        super().__init__(f"{NO_PROJECTOR}: it was packed without a projector (packer build --mmproj)")


class PictureMark(str):
    """The text that stands for a picture; ``content`` is the file."""

    __slots__ = ("content",)
    content: bytes


@dataclass(frozen=True, kw_only=True)
class EncodedPrompt:
    """A prompt's tokens, with numbers below zero for rows of pictures, and those pictures."""

    tokens: list[int]
    pictures: tuple[PromptPicture, ...] = ()


def picture_part(content: bytes) -> dict[str, Any]:
    """Return the part of a message that holds a picture file."""
    mark = PictureMark(f"<__picture_{secrets.token_hex(16)}__>")
    mark.content = content
    return {"type": "media_marker", "text": mark}


def picture_from_url(url: str) -> dict[str, Any]:
    """Return the part for the picture in a data URL. Raises InputError, also for an address: nothing is fetched."""
    found = DATA_URL.match(url)
    if not found:
        raise InputError(
            "expected the picture itself as a data URL (data:image/png;base64,...); this program opens no connections, "
            "so it fetches no addresses"
        )
    return picture_from_base64(url[found.end() :])


def picture_from_base64(text: str) -> dict[str, Any]:
    """Return the part for a picture in Base64. Raises InputError."""
    if len(text) // 4 * 3 > MAX_PICTURE_BYTES:
        raise InputError(f"the picture is too large; at most {MAX_PICTURE_BYTES >> 20} MiB can be read")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("the picture is no valid Base64") from error
    if not content:
        raise InputError("the picture is empty")
    return picture_part(content)


def marks_of(messages: Sequence[dict[str, Any]]) -> list[PictureMark]:
    """Return the marks of all pictures in messages. Raises InputError when they are too many."""
    contents = (message.get("content") for message in messages)
    marks = [
        part["text"]
        for content in contents
        if isinstance(content, list)
        for part in content
        if isinstance(part["text"], PictureMark)
    ]
    if len(marks) > MAX_PICTURES:
        raise InputError(f"the conversation has {len(marks)} pictures; at most {MAX_PICTURES} can be read at once")
    return marks


class PictureReader:
    """Reads pictures with a projector and keeps the rows of those that it read last."""

    def __init__(
        self,
        projector: Projector,
        *,
        kept_bytes: int = KEPT_BYTES,
        on_failure: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        """Begin with none kept; ``on_failure`` hears of errors that no picture explains."""
        self._projector = projector
        self._on_failure = on_failure
        self._kept_bytes = kept_bytes
        self._kept: OrderedDict[bytes, Picture] = OrderedDict()
        self._lock = threading.Lock()

    def encode(
        self,
        text: str,
        marks: Sequence[PictureMark],
        encode_text: Callable[[str], list[int]],
        encode_rest: Callable[[str], list[int]],
    ) -> EncodedPrompt:
        """Return the tokens of ``text``, of whose parts the first is read by ``encode_text``.

        Raises InputError when a picture can't be read or the template left one out.
        """
        by_mark = {str(mark): mark for mark in marks}
        parts = re.split("(" + "|".join(map(re.escape, by_mark)) + ")", text)
        if len(parts) != 2 * len(marks) + 1:
            raise InputError("the model's chat template has no place for pictures in this kind of message")
        tokens, pictures = encode_text(parts[0]), []
        for mark, rest in zip(parts[1::2], parts[2::2], strict=True):
            digest = hashlib.sha256(by_mark[mark].content).digest()
            for index, piece in enumerate(self._read(digest, by_mark[mark].content).pieces()):
                if isinstance(piece, list):
                    tokens += piece
                    continue
                pictures.append(PromptPicture(start=len(tokens), rows=piece))
                tokens += stand_ins(digest, index, piece.num_tokens)
            tokens += encode_rest(rest)
        return EncodedPrompt(tokens=tokens, pictures=tuple(pictures))

    def _read(self, digest: bytes, content: bytes) -> Picture:
        with self._lock:
            kept = self._kept.get(digest)
            if kept is not None:
                self._kept.move_to_end(digest)
                return kept
        try:
            picture = self._projector.read(content)
        except PackerError:
            raise
        except Exception as error:
            self._on_failure(error)
            raise
        with self._lock:
            self._kept[digest] = picture
            while len(self._kept) > 1 and sum(one.size_bytes for one in self._kept.values()) > self._kept_bytes:
                self._kept.popitem(last=False)
        return picture
