"""One chat as Markdown, and back: the branch that is shown, readable anywhere.

Each part stands below a comment that Markdown viewers do not show, ``<!-- packer-... {JSON} -->``, and a heading. A
line of a text that looks like such a comment gets a backslash in front, so that no text can end its own part.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from runtime.history.checks import IMAGE_PREFIX, Fields, read_foreign_chat, read_foreign_message
from runtime.history.errors import InvalidError
from runtime.history.records import WholeChat

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 1
MARK = re.compile(r"<!-- packer-(chat|message|content|reasoning|tool-calls|attachment) (\{.*\}) -->")
LOOKS_LIKE_MARK = re.compile(r"^(\\*<!-- packer-)", re.MULTILINE)
ESCAPED_MARK = re.compile(r"^\\(\\*<!-- packer-)", re.MULTILINE)
IMAGE = re.compile(r"!\[[^\]\n]*\]\((data:image/[^)\s]*)\)")
FENCE = re.compile(r"```json\n(.*)\n```", re.DOTALL)
HEADINGS = {"user": "User", "assistant": "Assistant", "system": "System", "developer": "Developer", "tool": "Tool"}
KEPT = ("role", "created_at", "state", "finish_reason", "model", "tool_call_id", "usage", "timings")
MAX_SHOWN_TITLE = 80
MAX_PARTS = 100_000


@dataclass(frozen=True, kw_only=True)
class Part:
    """What stands below one comment: its kind, the JSON in it, and the text below the heading."""

    kind: str
    fields: dict[str, Any]
    text: str
    line: int


def to_markdown(chat: dict[str, Any]) -> str:
    """Return the current branch of a whole chat."""
    facts = {name: chat[name] for name in ("title", "folder", "pinned", "created_at", "updated_at", "settings")}
    parts = [_part("chat", {"version": VERSION, **facts}, f"# {shown_title(chat)}", None)]
    for message in current_branch(chat):
        parts += _message_parts(message)
    return "\n\n".join(parts) + "\n"


def shown_title(chat: dict[str, Any]) -> str:
    """Return the title on one line, or the beginning of the first message where there is none."""
    texts = [chat["title"], *(message["content"] for message in chat["messages"] if message["role"] == "user")]
    lines = [" ".join(text.split()) for text in texts]
    return next((line[:MAX_SHOWN_TITLE] for line in lines if line), "Untitled")


def current_branch(chat: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages from the first to the current one; without a current one, to the newest."""
    messages = {message["id"]: message for message in chat["messages"]}
    newest = chat["messages"][-1]["id"] if chat["messages"] else None
    message_id = chat["current_message_id"] or newest
    branch = []
    while message_id is not None:
        branch.append(messages[message_id])
        message_id = messages[message_id]["parent_id"]
    return branch[::-1]


def _message_parts(message: dict[str, Any]) -> Iterator[str]:
    yield _part("message", {name: message[name] for name in KEPT}, f"## {HEADINGS[message['role']]}", None)
    if message["reasoning"]:
        yield _part("reasoning", {}, "### Reasoning", message["reasoning"])
    yield _part("content", {}, None, message["content"])
    if message["tool_calls"]:
        calls = json.dumps(message["tool_calls"], ensure_ascii=False, indent=1)
        yield _part("tool-calls", {}, "### Tool calls", f"```json\n{calls}\n```")
    for attachment in message["attachments"]:
        facts = {name: attachment[name] for name in ("name", "media_type", "size_bytes")}
        kind = next((kind for kind in ("text", "image_url") if kind in attachment), "none")
        shown = re.sub(r"[\[\]\s]+", " ", attachment["name"])
        text = {"text": attachment.get("text"), "image_url": f"![{shown}]({attachment.get('image_url')})"}.get(kind)
        yield _part("attachment", {**facts, "kind": kind}, f"### Attachment: {shown}", text)


def _part(kind: str, fields: dict[str, Any], heading: str | None, text: str | None) -> str:
    """Write one part; ``>`` in the JSON is escaped, so that it can't end the comment."""
    document = json.dumps(fields, ensure_ascii=False).replace(">", "\\u003e")
    lines = [f"<!-- packer-{kind} {document} -->", *([heading] if heading is not None else [])]
    if text is not None:
        lines += ["", LOOKS_LIKE_MARK.sub(r"\\\1", text)]
    return "\n".join(lines)


def from_markdown(text: str) -> WholeChat:
    """Read a chat that :func:`to_markdown` wrote. Raises InvalidError."""
    parts = list(_parts(text))
    if not parts or parts[0].kind != "chat":
        raise InvalidError("", "this Markdown file is no chat that was exported here; its first line would say so")
    facts = Fields(parts[0].fields, "line 1")
    if facts.document.get("version") != VERSION:
        found = facts.document.get("version")
        raise InvalidError(facts.path("version"), f"expected {VERSION}, found {found!r:.20}; a newer program wrote it")
    documents = _message_documents(parts[1:])
    messages = tuple(read_foreign_message(document, f"line {line}") for document, line in documents)
    parents = tuple(index - 1 if index else None for index in range(len(messages)))
    return WholeChat(
        chat=read_foreign_chat(facts.document, "line 1"),
        messages=messages,
        parents=parents,
        current=len(messages) - 1 if messages else None,
    )


def _message_documents(parts: list[Part]) -> Iterator[tuple[dict[str, Any], int]]:
    """Put together what belongs to each message; with it the line that it begins on."""
    document: dict[str, Any] | None = None
    line = 0
    for part in parts:
        if part.kind == "message":
            if document is not None:
                yield document, line
            document, line = {name: part.fields.get(name) for name in KEPT} | {"attachments": []}, part.line
        elif document is None or part.kind == "chat":
            raise InvalidError(f"line {part.line}", f"a part of the kind {part.kind} belongs below a message")
        elif part.kind == "attachment":
            document["attachments"].append(_attachment(part))
        else:
            document[part.kind.replace("-", "_")] = part.text if part.kind != "tool-calls" else _tool_calls(part)
    if document is not None:
        yield document, line


def _attachment(part: Part) -> dict[str, Any]:
    found = dict(part.fields)
    image = IMAGE.fullmatch(part.text.strip())
    if found.get("kind") == "text":
        found["text"] = part.text
    elif image is not None and image[1].startswith(IMAGE_PREFIX):
        found["image_url"] = image[1]
    return found


def _tool_calls(part: Part) -> Any:
    fence = FENCE.fullmatch(part.text.strip())
    try:
        return json.loads(fence[1]) if fence else None
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"line {part.line}", f"the tool calls are not valid JSON: {error}") from error


def _parts(text: str) -> Iterator[Part]:
    """Split a file at its comments; none when it does not begin with one. An editor's CRLF line ends are undone."""
    text = text.replace("\r\n", "\n") if text.partition("\n")[0].endswith("\r") else text
    lines = (text if text.endswith("\n") else f"{text}\n").split("\n")
    starts = [index for index, line in enumerate(lines) if MARK.fullmatch(line)]
    if len(starts) > MAX_PARTS:
        raise InvalidError("", f"expected at most {MAX_PARTS:,} parts, found {len(starts):,}")
    if starts[:1] != [0]:
        return
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        mark = cast("re.Match[str]", MARK.fullmatch(lines[start]))
        try:
            fields = json.loads(mark[2])
        except (ValueError, RecursionError) as error:
            raise InvalidError(f"line {start + 1}", f"the comment holds no valid JSON: {error}") from error
        yield Part(kind=mark[1], fields=fields, text=_text(lines[start + 1 : end - 1]), line=start + 1)


def _text(lines: list[str]) -> str:
    """Return the text of a part: without its heading and the empty line in front of it."""
    if lines and lines[0].startswith("#"):
        lines = lines[1:]
    if lines and not lines[0]:
        lines = lines[1:]
    return ESCAPED_MARK.sub(r"\1", "\n".join(lines))
