"""The process that reads one PDF: standard input to JSON on standard output, within limits that it sets itself first.

Limits of the system on memory, time and written files hold whatever the file makes pypdf do. Where the system has none
(Windows), the time limit is the starting process's.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

from runtime.attachments.limits import MAX_FILE_BYTES, MAX_TEXT_CHARACTERS

if TYPE_CHECKING:
    from pypdf import PageObject

MEMORY_LIMIT_BYTES = 1 << 30
CPU_LIMIT_S = 30
SEPARATOR = "\n\n"


def main() -> int:
    """Read standard input, answer, and return the exit code: 0 also when the answer is what is wrong with the file."""
    limit_resources()
    logging.disable()
    answer = describe(sys.stdin.buffer.read(MAX_FILE_BYTES + 1))
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    return 0


def limit_resources() -> None:
    """Have the system stop this process when it wants too much."""
    if sys.platform == "win32":
        return
    import resource

    limits = {
        resource.RLIMIT_AS: MEMORY_LIMIT_BYTES,
        resource.RLIMIT_CPU: CPU_LIMIT_S,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        _soft, hard = resource.getrlimit(kind)
        value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (value, value))


def describe(content: bytes) -> dict[str, Any]:
    """Return text, number of pages and whether there was more; or ``error``, a sentence."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, WrongPasswordError

    try:
        reader = PdfReader(io.BytesIO(content))
        texts, num_pages, is_truncated = _texts(reader.pages)
    except (DependencyError, FileNotDecryptedError, WrongPasswordError):
        return {"error": "this PDF is protected with a password; save it without one first"}
    except MemoryError:
        return {"error": "reading this PDF takes more memory than it may; it may be damaged"}
    except Exception as error:  # whatever a damaged file makes the library raise; this process has no other task
        return {"error": f"this PDF can't be read; it may be damaged ({type(error).__name__})"}
    text = SEPARATOR.join(texts)[:MAX_TEXT_CHARACTERS]
    if not text.strip():
        return {"error": "this PDF holds no text; its pages may be pictures of text, which can't be read here"}
    return {"text": text, "num_pages": num_pages, "is_truncated": is_truncated}


def _texts(pages: Any) -> tuple[list[str], int, bool]:
    """Return the texts of the pages up to the limit, how many pages there are, and whether some were left out."""
    texts: list[str] = []
    size = 0
    for page in pages:
        text = _text(page)
        texts.append(text)
        size += len(text) + len(SEPARATOR)
        if size > MAX_TEXT_CHARACTERS:
            return texts, len(pages), True
    return texts, len(pages), False


def _text(page: PageObject) -> str:
    """Return what a page says, without lone surrogates, which fonts can claim to have."""
    return page.extract_text().encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")
