"""Full-text search over titles and messages.

SQLite's FTS5 keeps words only, no copy of the text. Scripts that put no spaces between words are indexed character by
character, so that a part of a Chinese or Japanese sentence is found as well. Where SQLite came without FTS5, texts are
compared one by one, and the index is made anew when a program that has it opens the file.

A title is indexed under its chat's number with a minus sign, a message under its own number with its chat's above it in
the upper 32 bits: what a search needs of the tables is then in the index itself.
"""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INDEX_VERSION = "1"
"""Changes whenever :func:`segmented` gives other words for the same text."""

UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003134f])"
)
MAX_TERMS = 16
MAX_QUERY_CHARACTERS = 500
SNIPPET_BEFORE = 40
SNIPPET_CHARACTERS = 160
IS_CURRENT = "SELECT value = ? FROM facts WHERE name = 'search index'"
CREATE = "CREATE VIRTUAL TABLE search USING fts5(text, content='', tokenize='unicode61 remove_diacritics 2')"
MATCHING_TITLES = "SELECT -rowid AS chat_seq, NULL FROM search WHERE search MATCH ? AND rowid < 0"
MATCHING_MESSAGES = """
    SELECT rowid >> 32 AS chat_seq, max(rowid) & 4294967295 FROM search WHERE search MATCH ? AND rowid > 0
        GROUP BY rowid >> 32
"""
TITLES = "SELECT -seq, title FROM chats"
TEXTS = "SELECT (chat_seq << 32) | seq, content FROM messages WHERE state != 'streaming'"


def title_key(chat_seq: int) -> int:
    """Return the number that a title is indexed under."""
    return -chat_seq


def message_key(chat_seq: int, message_seq: int) -> int:
    """Return the number that a message is indexed under."""
    return (chat_seq << 32) | message_seq


def segmented(text: str) -> str:
    """Return ``text`` with spaces around each character of the scripts that are written without them."""
    return UNSPACED.sub(r" \1 ", text)


def terms_of(query: str) -> list[str]:
    """Return the words of a query, at most sixteen; characters that are neither letters nor digits separate them."""
    return re.findall(r"[^\W_]+", query[:MAX_QUERY_CHARACTERS])[:MAX_TERMS]


def match_expression(terms: list[str]) -> str:
    """Return the FTS5 query for texts that have a word beginning with each of ``terms``."""
    return " ".join(f'"{" ".join(segmented(term).split())}"*' for term in terms)


def snippet(text: str, terms: list[str]) -> str:
    """Return a line of ``text`` around the first term found in it, or its beginning."""
    lowered = text.lower()
    found = [position for term in terms if (position := lowered.find(term.lower())) >= 0]
    start = max(0, min(found, default=0) - SNIPPET_BEFORE)
    shown = " ".join(text[start : start + SNIPPET_CHARACTERS].split())
    before = "…" if start else ""
    return f"{before}{shown}{'…' if start + SNIPPET_CHARACTERS < len(text) else ''}"


class SearchIndex:
    """Keeps the index in step with the texts; every method runs inside the caller's transaction."""

    def __init__(self, *, has_fts5: bool) -> None:
        """``has_fts5`` unset compares texts one by one."""
        self.has_fts5 = has_fts5

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Make the index, or make it anew when it was kept by a program without FTS5 or with other rules."""
        if not self.has_fts5:
            self.reset(connection)
            return
        row = connection.execute(IS_CURRENT, (INDEX_VERSION,)).fetchone()
        if row is not None and row[0]:
            return
        connection.execute("DROP TABLE IF EXISTS search")
        connection.execute(CREATE)
        for source in (TITLES, TEXTS):
            for rowid, text in connection.execute(source):
                connection.execute("INSERT INTO search (rowid, text) VALUES (?, ?)", (rowid, segmented(text)))
        connection.execute("UPDATE messages SET indexed = (state != 'streaming')")
        connection.execute("REPLACE INTO facts VALUES ('search index', ?)", (INDEX_VERSION,))

    def reset(self, connection: sqlite3.Connection) -> None:
        """Have the next :meth:`prepare` make the index anew."""
        connection.execute("DELETE FROM facts WHERE name = 'search index'")

    def add(self, connection: sqlite3.Connection, rowid: int, text: str) -> None:
        """Index ``text`` under ``rowid``."""
        if self.has_fts5:
            connection.execute("INSERT INTO search (rowid, text) VALUES (?, ?)", (rowid, segmented(text)))

    def remove(self, connection: sqlite3.Connection, rowid: int, text: str) -> None:
        """Forget ``text``, exactly what was indexed under ``rowid``."""
        if self.has_fts5:
            connection.execute(
                "INSERT INTO search (search, rowid, text) VALUES ('delete', ?, ?)", (rowid, segmented(text))
            )

    def forget_removed(self, connection: sqlite3.Connection) -> None:
        """Rewrite the index without what was removed from it."""
        if self.has_fts5:
            connection.execute("INSERT INTO search (search) VALUES ('optimize')")

    def matching(self, connection: sqlite3.Connection, terms: list[str]) -> Iterator[tuple[int, int | None]]:
        """Yield chats that have all terms in their title (no message) or in one message (the newest such)."""
        if self.has_fts5:
            for query in (MATCHING_TITLES, MATCHING_MESSAGES):
                yield from connection.execute(query, (match_expression(terms),))
            return
        patterns = [f"%{term}%" for term in terms]
        for column, source in (("title", "seq, NULL FROM chats"), ("content", "chat_seq, max(seq) FROM messages")):
            condition = " AND ".join(f"{column} LIKE ?" for _ in patterns)
            grouped = "" if column == "title" else " AND state != 'streaming' GROUP BY chat_seq"
            yield from connection.execute(f"SELECT {source} WHERE {condition}{grouped}", patterns)


def fts5_available() -> bool:
    """Tell whether this SQLite was built with FTS5."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE probe USING fts5(text)")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True
