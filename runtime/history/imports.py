"""Reads files of chats that come from elsewhere: nothing in them is trusted.

Taken are this program's own JSON and Markdown, a ZIP archive of these, a bare list of messages as the OpenAI API has
it, and the conversations.json of a ChatGPT export. A file is taken as a whole or refused with the place of what is
wrong in it.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, NoReturn

from runtime.history import chatgpt
from runtime.history.checks import MAX_NAME_CHARACTERS, Fields, read_foreign_chat, read_foreign_message, wrong
from runtime.history.errors import InvalidError
from runtime.history.exports import FORMAT, VERSION
from runtime.history.markdown import from_markdown
from runtime.history.records import WholeChat

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_IMPORT_BYTES = 128 << 20
MAX_CHATS = 10_000
MAX_MESSAGES = 200_000
ZIP_START = b"PK\x03\x04"
SUFFIXES = (".md", ".json")


def read_chats(content: bytes) -> list[WholeChat]:
    """Read all chats of a file. Raises InvalidError."""
    chats: list[WholeChat] = []
    num_messages = 0
    for chat in _chats_of(content):
        chats.append(chat)
        num_messages += len(chat.messages)
        if len(chats) > MAX_CHATS or num_messages > MAX_MESSAGES:
            raise InvalidError("", f"expected at most {MAX_CHATS:,} chats with {MAX_MESSAGES:,} messages in all")
    return chats


def _chats_of(content: bytes) -> Iterator[WholeChat]:
    if content.startswith(ZIP_START):
        yield from _from_zip(content)
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidError("", f"the file is not UTF-8 text (byte {error.start}); expected JSON or Markdown") from error
    if text.lstrip()[:1] in {"{", "["}:
        yield from _from_json(text)
    else:
        yield from_markdown(text)


def _from_zip(content: bytes) -> Iterator[WholeChat]:
    """Read the Markdown and JSON files of an archive; what they unpack to is limited before it is read."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(SUFFIXES)]
            if len(entries) > MAX_CHATS or sum(entry.file_size for entry in entries) > MAX_IMPORT_BYTES:
                raise InvalidError("", f"the archive unpacks to more than {MAX_IMPORT_BYTES >> 20} MiB")
            for entry in entries:
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise InvalidError("", f"{entry.filename}: is packed in a way that is not taken here")
                with archive.open(entry) as stream:
                    unpacked = stream.read(entry.file_size + 1)
                yield from _chats_of(unpacked if not unpacked.startswith(ZIP_START) else b"")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InvalidError("", f"the ZIP archive can't be read ({error})") from error
    if not entries:
        raise InvalidError("", "there is no .md or .json file in the archive")


def _from_json(text: str) -> Iterator[WholeChat]:
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidError("", f"the file is not valid JSON: {error}") from error
    if isinstance(document, list):
        yield from _from_list(document)
        return
    if document.get("format") == FORMAT:
        if document.get("version") != VERSION:
            found = document.get("version")
            raise InvalidError("version", f"expected {VERSION}, found {found!r:.20}; a newer program wrote it")
        for index, chat in enumerate(Fields(document).items("chats") or []):
            yield from_document(chat, f"chats[{index}]")
    elif chatgpt.is_conversation(document):
        yield chatgpt.from_conversation(document, "the file")
    elif "messages" in document:
        yield from_document(document, "")
    else:
        raise InvalidError("format", f"expected {FORMAT!r}, or a list of messages, found neither")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _from_list(entries: list[Any]) -> Iterator[WholeChat]:
    """Read a list of conversations, or of the messages of one."""
    if entries and all(isinstance(entry, dict) and "role" in entry for entry in entries):
        yield from_document({"messages": entries}, "")
        return
    for index, entry in enumerate(entries):
        if not chatgpt.is_conversation(entry):
            raise wrong(f"[{index}]", "a message or a conversation of a ChatGPT export", entry)
        yield chatgpt.from_conversation(entry, f"[{index}]")


def from_document(document: Any, where: str) -> WholeChat:
    """Read one whole chat, its messages in any order. Raises InvalidError."""
    fields = Fields(document, where)
    entries = fields.items("messages") or []
    if len(entries) > MAX_MESSAGES:
        raise InvalidError(fields.path("messages"), f"expected at most {MAX_MESSAGES:,}, found {len(entries):,}")
    places = [fields.path(f"messages[{index}]") for index in range(len(entries))]
    drafts = [read_foreign_message(entry, place) for entry, place in zip(entries, places, strict=True)]
    ids, parents = _links(entries, places)
    order = parents_first(parents, fields.path("messages"))
    position = {old: new for new, old in enumerate(order)}
    current = fields.text("current_message_id", MAX_NAME_CHARACTERS)
    if current is not None and current not in ids:
        raise InvalidError(fields.path("current_message_id"), f"there is no message {current!r:.40}")
    newest = position[len(entries) - 1] if entries else None
    return WholeChat(
        chat=read_foreign_chat(document, where),
        messages=tuple(drafts[old] for old in order),
        parents=tuple(None if (parent := parents[old]) is None else position[parent] for old in order),
        current=newest if current is None else position[ids[current]],
    )


def _links(entries: list[Any], places: list[str]) -> tuple[dict[str, int], list[int | None]]:
    """Return the index of each id, and the index of each message's parent; without any ids one follows the other."""
    readers = [Fields(entry, place) for entry, place in zip(entries, places, strict=True)]
    if not any("id" in reader.document or "parent_id" in reader.document for reader in readers):
        return {}, [index - 1 if index else None for index in range(len(entries))]
    ids: dict[str, int] = {}
    for index, reader in enumerate(readers):
        message_id = reader.text("id", MAX_NAME_CHARACTERS)
        if message_id is None:
            raise InvalidError(reader.path("id"), "is missing")
        if message_id in ids:
            raise InvalidError(reader.path("id"), f"{message_id!r:.40} is used twice")
        ids[message_id] = index
    parents: list[int | None] = []
    for reader in readers:
        parent_id = reader.text("parent_id", MAX_NAME_CHARACTERS)
        if parent_id is not None and parent_id not in ids:
            raise InvalidError(reader.path("parent_id"), f"there is no message {parent_id!r:.40}")
        parents.append(None if parent_id is None else ids[parent_id])
    return ids, parents


def parents_first(parents: list[int | None], where: str) -> list[int]:
    """Return all indexes, each after its parent, otherwise in their order. Raises InvalidError for a circle."""
    placed = [False] * len(parents)
    order: list[int] = []
    for start in range(len(parents)):
        chain: list[int] = []
        index: int | None = start
        on_chain: set[int] = set()
        while index is not None and not placed[index]:
            if index in on_chain:
                raise InvalidError(where, f"message {index} comes after itself; its parents form a circle")
            on_chain.add(index)
            chain.append(index)
            index = parents[index]
        for found in reversed(chain):
            placed[found] = True
            order.append(found)
    return order
