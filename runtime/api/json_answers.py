"""How answers are written as JSON: fields in the order in which they are made, letters of all languages as they are."""

from __future__ import annotations

from typing import Any

from flask.json.provider import DefaultJSONProvider


class JsonAnswers(DefaultJSONProvider):
    """Flask's own, but readable in a terminal."""

    sort_keys = False

    def dumps(self, obj: Any, **options: Any) -> str:
        """Write ``obj``; a text that is no Unicode, which may come from outside, is written in escapes."""
        text = super().dumps(obj, **{"ensure_ascii": False, **options})
        return text if text.isascii() or _is_unicode(text) else super().dumps(obj, **options)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
