"""Chats as files to take along: one JSON document, or Markdown for people, many of them in a ZIP archive.

The JSON document holds everything; docs/chats.md describes it, and :data:`VERSION` changes with it.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runtime.history.markdown import shown_title, to_markdown
from runtime.history.records import timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = "packer-chats"
VERSION = 1
MAX_NAME_CHARACTERS = 60
EARLIEST_ZIP_YEAR = 1980


def to_json(chats: Sequence[dict[str, Any]], now_ms: int) -> bytes:
    """Return ``chats``, whole ones as :class:`ChatStore` reads them, as one JSON document."""
    document = {"format": FORMAT, "version": VERSION, "exported_at": timestamp(now_ms), "chats": list(chats)}
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def to_zip(chats: Sequence[dict[str, Any]]) -> bytes:
    """Return a ZIP archive with one Markdown file for each chat."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, chat in enumerate(chats, 1):
            moment = datetime.fromisoformat(chat["updated_at"])
            date = (max(moment.year, EARLIEST_ZIP_YEAR), moment.month, moment.day, moment.hour, moment.minute, 0)
            info = zipfile.ZipInfo(f"{number:03d} {file_stem(chat)}.md", date)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            archive.writestr(info, to_markdown(chat))
    return buffer.getvalue()


def file_stem(chat: dict[str, Any]) -> str:
    """Return a file name for a chat, without suffix: letters and digits of its title."""
    words = re.sub(r"[^\w-]+", " ", shown_title(chat)).strip()
    return words[:MAX_NAME_CHARACTERS].strip() or "chat"
