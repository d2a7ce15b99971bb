"""The page's words: complete in every language, used, and the same in page.html as in English."""

from __future__ import annotations

import json
import re

import pytest

from tests.web.test_blueprint import Tags
from web_ui.page import PAGE_NAME, STATIC_FOLDER

LOCALES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (STATIC_FOLDER / "locales").iterdir()}
ENGLISH = LOCALES["en"]
ONE_FORM = {"zh", "ja"}
"""Languages whose words do not change with numbers."""
SAME_AS_ENGLISH = 0.15
"""Share of texts that may read as in English: names such as Top-p, and words that both languages have."""


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}", text))


def wanted_keys(code: str) -> set[str]:
    return {key for key in ENGLISH if not (code in ONE_FORM and key.endswith("_one"))}


def test_the_languages_asked_for_are_there() -> None:
    offered = re.search(r"LANGUAGES = \{(.*?)\}", (STATIC_FOLDER / "i18n.js").read_text(encoding="utf-8"), re.DOTALL)
    assert offered
    assert set(re.findall(r"(\w+): \"", offered[1])) == set(LOCALES) == {"en", "zh", "es", "de", "fr", "ja"}


@pytest.mark.parametrize("code", sorted(LOCALES))
def test_every_language_has_every_text(code: str) -> None:
    words = LOCALES[code]
    assert set(words) == wanted_keys(code)
    assert [key for key, text in words.items() if not text.strip()] == []
    assert {key: text for key, text in words.items() if placeholders(text) != placeholders(ENGLISH[key])} == {}
    if code != "en":
        same = [key for key, text in words.items() if text == ENGLISH[key]]
        assert len(same) < SAME_AS_ENGLISH * len(words), same


def test_every_text_is_used_and_every_text_used_is_there() -> None:
    sources = [path for path in STATIC_FOLDER.rglob("*") if path.suffix in {".js", ".html"}]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    used = set(re.findall(r"(?:\btn?\(\s*|[?:] )\"([a-z_]+(?:\.[a-z_]+)*)\"", text))
    used |= set(re.findall(r"data-t(?:-[a-z-]+)?=\"([^\"]+)\"", text))
    used |= set(re.findall(r"translate\(\"([a-z_.]+)\"\)", text))
    prefixes = tuple(
        re.findall(r"`([a-z]+\.(?:[a-z]+_)?)\$\{", text) + re.findall(r"inEnglish\(\"([a-z]+\.)\"\)", text)
    )
    forms = {key.removesuffix("_one").removesuffix("_other"): key for key in ENGLISH}
    unused = [key for short, key in forms.items() if short not in used and not key.startswith(prefixes)]
    assert unused == []
    asked = set(re.findall(r"\bt\(\s*\"([^\"]+)\"", text)) | set(re.findall(r"data-t=\"([^\"]+)\"", text))
    counted = {f"{key}_other" for key in re.findall(r"\btn\(\s*\"([^\"]+)\"", text)}
    assert (asked | counted) - set(ENGLISH) == set()


def test_page_says_in_english_what_the_english_words_say() -> None:
    html = (STATIC_FOLDER / PAGE_NAME).read_text(encoding="utf-8")
    texts = re.findall(r"data-t=\"([^\"]+)\"[^>]*>([^<]*)<", html)
    assert len(texts) > 40
    assert {key: text for key, text in texts if ENGLISH[key] != text} == {}
    page = Tags()
    page.feed(html)
    named = [
        (attributes[f"data-t-{name}"], attributes.get(name))
        for _, attributes in page.tags
        for name in ("aria-label", "placeholder", "title")
        if f"data-t-{name}" in attributes
    ]
    assert {key: text for key, text in named if ENGLISH[str(key)] != text} == {}


def test_no_script_speaks_english_by_itself() -> None:
    """Names for people go through ``t``: no script gives a literal to a label, a title or a text."""
    spoken = re.compile(r"(?:textContent|\.title|placeholder|\"aria-label\",?) ?=? ?\"[A-Z]")
    scripts = [path for path in STATIC_FOLDER.rglob("*.js") if spoken.search(path.read_text(encoding="utf-8"))]
    assert [path.name for path in scripts] == []
