"""The page in a real browser: hostile answers are shown as text, run nothing and ask nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.web.page_driver import answer, ask_afresh, expect_state, send

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.web.conftest import Watch
    from tests.web.fake_api import FakeProgram

RUN = "window.hacked=1"
HOSTILE = {
    "script": f"<script>{RUN}; alert(1)</script>",
    "script in a block": f"<div>\n<script>{RUN}</script>\n</div>",
    "image": f"<img src=x onerror='{RUN}'><img src='http://192.0.2.1/leak'>",
    "svg": f"<svg onload='{RUN}'><a xlink:href='javascript:{RUN}'>x</a></svg>",
    "html links": f"<a href='javascript:{RUN}'>here</a> <form action='http://192.0.2.1'><button>go</button></form>",
    "frame and style": "<iframe srcdoc='<script>1</script>'></iframe><style>body{display:none}</style>",
    "closing tags": "</p></div></li></main><h1>Owned</h1><!--",
    "broken table": "| a | b\n|--|\n| <b onclick=alert(1)>c",
    "broken list": "- [ ](\n- ![\n  - > ```\n1) **__~~",
    "templates": "{{7*7}} ${7*7} <%= 7*7 %> __proto__ constructor",
    "event stream": "data: [DONE]\n\ndata: {}\n\nevent: quit",
    "math": r"$\href{javascript:alert(1)}{x}$ $\htmlStyle{position:fixed}{y}$ $\includegraphics{http://192.0.2.1/z}$",
    "math that never ends": r"$\def\a{\a\a}\a$ and $$\frac{1$$",
}
"""Answers of which every letter must be shown, but for the signs of Markdown and what formulas are made of."""

LINKS = {
    f"[press](javascript:{RUN})": [],
    "[press](JaVaScRiPt&colon;alert(1))": [],
    "[press](data:text/html,<script>1</script>)": [],
    "[press](/api/quit)": [],
    "[press](//192.0.2.1/)": [],
    "[press](file:///etc/passwd)": [],
    "[fine](https://192.0.2.1/page)": ["https://192.0.2.1/page"],
    "![picture](https://192.0.2.1/leak.png?said=this)": ["https://192.0.2.1/leak.png?said=this"],
    "![picture](data:image/svg+xml,<svg/onload=alert(1)>)": [],
    "https://192.0.2.1/bare and javascript:alert(1)": ["https://192.0.2.1/bare"],
    "<https://192.0.2.1/angle> <javascript:alert(1)>": ["https://192.0.2.1/angle"],
    "[a]: javascript:alert(1)\n\n[a]": [],
}
"""Markdown to the addresses of the links that may come of it."""

ALLOWED_TAGS = set(
    "LI H2 H3 H4 H5 H6 DIV P BUTTON SPAN FIGURE FIGCAPTION PRE CODE A BR UL OL BLOCKQUOTE HR EM STRONG S"
    " TABLE THEAD TBODY TR TH TD svg path".split()
)
MATHML = {"math", "semantics", "mrow", "mi", "mo", "mn", "annotation", "mfrac", "msqrt", "msup", "mstyle", "mtext"}
FITS = (
    "() => [document.documentElement, document.querySelector('#scroller')]"
    ".every(box => box.scrollWidth <= box.clientWidth)"
)


def pieces_of(text: str) -> list[str]:
    return [text[start : start + 4096] for start in range(0, len(text), 4096)]


def check_harmless(chat: Page, watch: Watch, name: str) -> None:
    """Nothing ran, nobody was asked, and only nodes that the page makes of Markdown are there."""
    tags = chat.locator("#messages").evaluate("list => [...list.querySelectorAll('*')].map(node => node.tagName)")
    assert set(tags) <= ALLOWED_TAGS | MATHML, name
    attributes = chat.locator("#messages").evaluate(
        "list => [...list.querySelectorAll('*')].flatMap(node => node.getAttributeNames())"
    )
    assert [found for found in attributes if found.startswith("on") or found in {"src", "srcdoc"}] == [], name
    assert chat.evaluate("() => 'hacked' in window") is False, name
    assert chat.evaluate(FITS) is True, name
    assert watch.foreign() == [], name


def squeezed(text: str) -> str:
    return "".join(character for character in text if character not in " \n\t|-*_~`>$#")


def test_hostile_text_stays_text(chat: Page, program: FakeProgram, watch: Watch) -> None:
    for name, text in HOSTILE.items():
        program.reply = [text]
        ask_afresh(chat, text)
        shown = answer(chat).locator(".message-body").evaluate("body => body.textContent")
        if name not in {"broken list", "math", "math that never ends"}:
            assert squeezed(text) in squeezed(shown), name
        asked = chat.locator(".message-user .message-body").evaluate("body => body.textContent")
        assert asked == text, name
        check_harmless(chat, watch, name)


def test_links_lead_only_to_the_web_and_pictures_are_not_loaded(chat: Page, program: FakeProgram, watch: Watch) -> None:
    found = {}
    for text in LINKS:
        program.reply = [text]
        ask_afresh(chat, "Links?")
        links = answer(chat).locator(".message-body a")
        found[text] = links.evaluate_all("links => links.map(link => link.getAttribute('href'))")
        for relation in links.evaluate_all(
            "links => links.map(link => [link.rel, link.target, link.title, link.href])"
        ):
            assert relation[:2] == ["noopener noreferrer nofollow", "_blank"]
            assert relation[2] == relation[3]
        check_harmless(chat, watch, text)
    assert found == LINKS


EXACT = {
    "in code": ("```html\n</code></pre><script>window.hacked = 1</script>\n```", None),
    "in a language": ('```"><img/src=x/onerror=window.hacked=1>\nx\n```', "x"),
    "direction overrides": (
        "safe \u202egnp.exe\u202c \u2066\u2067x\u2069 \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
        None,
    ),
    "control characters": ("a\x07b\x1b[31mc\ufeff\u2028\u2029d", None),
    "nul": ("a\x00b", "a\ufffdb"),
    "entities": ("&lt;script&gt;1&lt;/script&gt;", "<script>1</script>"),
    "stacked marks": ("Z" + "\u0351\u0363\u036f" * 200, None),
    "long line": ("x" * 200_000, None),
    "long line of stars": ("*a " * 60_000, None),
    "long line of brackets": ("[" * 100_000, None),
    "deep quotes": ("> " * 500 + "x", None),
}
"""Answers with what must be shown of them, where it is not all of it."""


@pytest.mark.parametrize("name", EXACT)
def test_strange_text_is_shown_whole_and_soon(chat: Page, program: FakeProgram, watch: Watch, name: str) -> None:
    text, expected = EXACT[name]
    program.reply = pieces_of(text)
    send(chat, "Go on")
    expect_state(chat, "done")
    body = answer(chat).locator(".message-body")
    shown = body.evaluate("body => (body.querySelector('code') ?? body).textContent")
    wanted = expected or text.removeprefix("```html\n").removesuffix("\n```")
    assert squeezed(shown) == squeezed(wanted)
    check_harmless(chat, watch, name)


def test_the_browser_itself_would_refuse_html(chat: Page, watch: Watch) -> None:
    refused = chat.evaluate(
        "() => { try { document.querySelector('#messages').innerHTML = '<b>x</b>'; return false; }"
        " catch (error) { return error instanceof TypeError; } }"
    )
    assert refused is True
    assert any("TrustedHTML" in error for error in watch.errors)
    watch.errors.clear()
