"""The page in a real browser: code blocks, copying, and hostile text that must stay text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

from tests.web.page_driver import answer, ask_afresh, expect_state, send

if TYPE_CHECKING:
    from tests.web.conftest import Watch
    from tests.web.fake_api import FakeProgram


def test_copy_gives_the_text_as_it_came(chat: Page, program: FakeProgram) -> None:
    program.reply = ["See:\n\n```python\n", "print('<hi>')\n\nprint(2)\n", "```\n\nDone."]
    send(chat, "Code?")
    expect_state(chat, "done")
    expect(answer(chat).locator(".prose")).to_have_text(["See:", "Done."])
    expect(answer(chat).locator(".code-language")).to_have_text("python")
    assert answer(chat).locator("pre").text_content() == "print('<hi>')\n\nprint(2)"
    answer(chat).get_by_role("button", name="Copy code").click()
    expect(answer(chat).locator(".code-head .action")).to_have_text("Copied")
    assert chat.evaluate("() => navigator.clipboard.readText()") == "print('<hi>')\n\nprint(2)"
    answer(chat).get_by_role("button", name="Copy", exact=True).click()
    expect(answer(chat).locator(".message-actions .action").first).to_have_text("Copied")
    assert chat.evaluate("() => navigator.clipboard.readText()") == "".join(program.reply)


FENCES = {
    "split": ("a\n``", "`js\nx", "\ny\n`", "``\nb"),
    "one piece": ("a\n```js\nx\ny\n```\nb",),
    "letters": tuple("a\n```js\nx\ny\n```\nb"),
    "carriage returns": ("a\r\n```js\r\n", "x\ny\n```\r\nb"),
    "indented": ("a\n   ```js\n   x\n   y\n   ```\nb",),
    "longer": ("a\n````js\nx\ny\n`````\nb",),
}


def test_code_blocks_are_found_however_the_text_is_cut(chat: Page, program: FakeProgram) -> None:
    found = {}
    for name, pieces in FENCES.items():
        program.reply = list(pieces)
        ask_afresh(chat, "Code?")
        blocks = answer(chat).locator(".message-body > *")
        found[name] = blocks.evaluate_all(
            "nodes => nodes.map(node => [node.tagName, (node.querySelector('code') ?? node).textContent.trim()])"
        )
    assert found == {name: [["P", "a"], ["FIGURE", "x\ny"], ["P", "b"]] for name in FENCES}


def test_fence_that_never_closes_is_code_to_the_end(chat: Page, program: FakeProgram) -> None:
    program.reply = ["```\nlet a = `b`;\n", "``"]
    send(chat, "Code?")
    expect_state(chat, "done")
    assert answer(chat).locator("pre").text_content() == "let a = `b`;\n``"


HOSTILE = {
    "script": "<script>window.hacked = 1; alert(1)</script>",
    "image": "<img src=x onerror='window.hacked = 1'><img src='http://192.0.2.1/leak'>",
    "svg": "<svg onload='window.hacked = 1'><a xlink:href='javascript:window.hacked=1'>x</a></svg>",
    "links": "[press](javascript:window.hacked=1) <a href='javascript:window.hacked=1'>here</a>",
    "markdown image": "![leak](http://192.0.2.1/leak.png)",
    "frame and style": "<iframe srcdoc='<script>1</script>'></iframe><style>body{display:none}</style>",
    "closing tags": "</p></div></li></main><h1>Owned</h1><!--",
    "entities": "&lt;script&gt;&#x202e;&amp;",
    "in code": "```html\n</code></pre><script>window.hacked = 1</script>\n```",
    "in a language": '```"><img/src=x/onerror=window.hacked=1>\nx\n```',
    "direction overrides": "safe \u202egnp.exe\u202c \u2066\u2067x\u2069 \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "templates": "{{7*7}} ${7*7} <%= 7*7 %> __proto__ constructor",
    "nul and others": "a\x00b\x07c\x1b[31md\ufeff\u2028\u2029e",
    "stacked marks": "Z" + "\u0351\u0363\u036f" * 200,
    "long line": "x" * 200_000,
    "event stream": "data: [DONE]\n\ndata: {}\n\nevent: quit",
}


ALLOWED_TAGS = {"LI", "H2", "DIV", "P", "BUTTON", "SPAN", "FIGURE", "FIGCAPTION", "PRE", "CODE"}


def test_hostile_text_stays_text(chat: Page, program: FakeProgram, watch: Watch) -> None:
    for name, text in HOSTILE.items():
        program.reply = [text[start : start + 4096] for start in range(0, len(text), 4096)]
        ask_afresh(chat, text if len(text) < 2000 else "Go on")
        shown = answer(chat).locator(".message-body").evaluate("body => body.textContent")
        assert [line for line in text.split("\n") if line.strip("`") not in shown] == [], name
        tags = chat.locator("#messages").evaluate("list => [...list.querySelectorAll('*')].map(node => node.tagName)")
        assert set(tags) <= ALLOWED_TAGS, name
        assert chat.evaluate("() => 'hacked' in window") is False, name
        assert chat.evaluate("() => document.documentElement.scrollWidth <= innerWidth") is True, name
        assert chat.locator("#scroller").evaluate("box => box.scrollWidth <= box.clientWidth") is True, name
        assert watch.foreign() == [], name


def test_very_long_answer_in_many_pieces_arrives_whole(chat: Page, program: FakeProgram) -> None:
    program.reply = ["token " * 5 + ("\n" if number % 9 == 0 else "") for number in range(4000)]
    send(chat, "Write a book")
    expect_state(chat, "done")
    assert len(answer(chat).locator(".message-body").evaluate("body => body.textContent")) > 110_000
