"""Decodes text and source code in whatever encoding it comes.

A byte order mark decides, then valid UTF-8; then charset-normalizer chooses among the encodings that people still have
files in. Bytes that text does not have make a file a binary one.
"""

from __future__ import annotations

import codecs
import re

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LEGACY_ENCODINGS = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr",
]  # fmt: skip
CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
SAMPLE_BYTES = 32 << 10
MAX_CONTROL_SHARE = 0.005
MIN_ZERO_SHARE = 0.3


def decode(content: bytes) -> str | None:
    """Return the text of a file, a line feed at the end of each line, or ``None`` for a file that is no text."""
    text = _decoded(content)
    if text is None or len(CONTROL_CHARACTERS.findall(text)) > MAX_CONTROL_SHARE * len(text):
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def _decoded(content: bytes) -> str | None:
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _decoded_as(content, encoding)
    if wide := _wide_encoding(content):
        return _decoded_as(content, wide)
    text = _decoded_as(content, "utf-8")
    return _legacy(content) if text is None else text


def _decoded_as(content: bytes, encoding: str) -> str | None:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return None


def _wide_encoding(content: bytes) -> str | None:
    """Recognise UTF-16 without a mark: of texts with Latin letters, digits or spaces, one byte in two is often zero."""
    sample = content[:SAMPLE_BYTES]
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = sample[start::2].count(0), sample[1 - start :: 2].count(0)
        if zeros > MIN_ZERO_SHARE * len(sample) / 2 and others == 0:
            return encoding
    return None


def _legacy(content: bytes) -> str | None:
    """Decode what is no Unicode. A sample ends at a line end, so that no character is cut."""
    sample = content[:SAMPLE_BYTES]
    if len(CONTROL_BYTES.findall(sample)) > MAX_CONTROL_SHARE * len(sample):
        return None
    from charset_normalizer.api import from_bytes

    end = sample.rfind(b"\n") + 1 if len(content) > len(sample) else len(sample)
    found = from_bytes(sample[: end or len(sample)], cp_isolation=LEGACY_ENCODINGS, enable_fallback=False).best()
    return content.decode(found.encoding, "replace") if found else None
