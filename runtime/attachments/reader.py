"""Tells what kind of file was attached, by its content, and turns it into what a message can hold."""

from __future__ import annotations

import base64
import mimetypes
import re
from typing import TYPE_CHECKING, Any

from packer.errors import InputError
from runtime.attachments.limits import MAX_FILE_BYTES, MAX_TEXT_CHARACTERS
from runtime.attachments.text_files import decode
from runtime.pictures import NO_PROJECTOR

if TYPE_CHECKING:
    from runtime.attachments.pdf import PdfReader

MAX_NAME_CHARACTERS = 200
PDF_START = b"%PDF-"
PDF_START_WITHIN_BYTES = 1024
IMAGE_STARTS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"BM": "image/bmp",
}
READABLE = ("image/gif", "image/jpeg", "image/png")
MAX_IMAGE_BYTES = 8 << 20
WEBP = re.compile(rb"RIFF....WEBP", re.DOTALL)
TEXT_TYPES = re.compile(r"text/.+|application/(json|xml|javascript|x-sh|x-tex|sql|toml|yaml)")
KINDS = {b"PK\x03\x04": "an archive or Office document", b"\x7fELF": "a program", b"MZ": "a program"}


class UnsupportedFileError(InputError):
    """A file of a kind that can't be attached."""


class FileTooLargeError(InputError):
    """A file beyond the limit."""


class FileReader:
    """Reads attached files. ``why_no_images`` is empty when the model sees pictures."""

    def __init__(self, pdf: PdfReader, *, why_no_images: str = NO_PROJECTOR) -> None:
        """PDFs are read by ``pdf``."""
        self._pdf = pdf
        self._why_no_images = why_no_images

    def status(self) -> dict[str, Any]:
        """Describe what can be attached, as ``/api/info`` shows it."""
        images = not self._why_no_images
        types = ["text/*", "application/pdf", *(READABLE if images else ())]
        why = self._why_no_images or "the model sees pictures"
        return {"images": images, "why": why, "max_bytes": MAX_FILE_BYTES, "types": types}

    def read(self, name: str, content: bytes) -> dict[str, Any]:
        """Return an attachment as messages hold it, with ``truncated`` and, for PDFs, ``num_pages``.

        Raises UnsupportedFileError, FileTooLargeError, or what :meth:`PdfReader.read` raises; all name the file.
        """
        name = shown_name(name)
        if len(content) > MAX_FILE_BYTES:
            size, limit = len(content) / (1 << 20), MAX_FILE_BYTES >> 20
            raise FileTooLargeError(f"{name}: has {size:,.1f} MiB; at most {limit} MiB can be attached")
        attachment = {"name": name, "size_bytes": len(content)}
        if PDF_START in content[:PDF_START_WITHIN_BYTES]:
            return attachment | self._from_pdf(name, content)
        image = image_type(content)
        if image is not None:
            return attachment | self._from_image(name, image, content)
        return attachment | _from_text(name, content)

    def _from_pdf(self, name: str, content: bytes) -> dict[str, Any]:
        try:
            found = self._pdf.read(content)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        return {
            "media_type": "application/pdf",
            "text": found.text,
            "num_pages": found.num_pages,
            "truncated": found.is_truncated,
        }

    def _from_image(self, name: str, media_type: str, content: bytes) -> dict[str, Any]:
        if self._why_no_images:
            raise UnsupportedFileError(f"{name}: this is a picture, and {self._why_no_images}")
        if media_type not in READABLE:
            raise UnsupportedFileError(f"{name}: this is a picture of the kind {media_type}; save it as PNG or JPEG")
        if len(content) > MAX_IMAGE_BYTES:
            raise FileTooLargeError(f"{name}: pictures of at most {MAX_IMAGE_BYTES >> 20} MiB can be attached")
        url = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
        return {"media_type": media_type, "image_url": url, "truncated": False}


def _from_text(name: str, content: bytes) -> dict[str, Any]:
    text = decode(content)
    if text is None:
        kind = next((kind for start, kind in KINDS.items() if content.startswith(start)), "not text")
        raise UnsupportedFileError(f"{name}: this is {kind}; text, source code and PDF can be attached")
    return {
        "media_type": text_type(name),
        "text": text[:MAX_TEXT_CHARACTERS],
        "truncated": len(text) > MAX_TEXT_CHARACTERS,
    }


def text_type(name: str) -> str:
    """Return the media type of a text file by its name, the same on every system."""
    known = mimetypes.MimeTypes(filenames=())
    known.add_type("text/markdown", ".md")
    guessed = known.guess_type(name)[0] or ""
    return guessed if TEXT_TYPES.fullmatch(guessed) else "text/plain"


def image_type(content: bytes) -> str | None:
    """Return the media type of a picture by its first bytes."""
    if WEBP.match(content):
        return "image/webp"
    return next((kind for start, kind in IMAGE_STARTS.items() if content.startswith(start)), None)


def shown_name(name: str) -> str:
    """Return the last part of a file name without characters that could mislead or break a line."""
    last = re.split(r"[/\\]", name)[-1]
    plain = "".join(character for character in last if character.isprintable()).strip()
    return plain[:MAX_NAME_CHARACTERS] or "file"
