"""The page in a real browser: Markdown as it streams in, code, formulas, copying."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

from tests.web.page_driver import answer, ask_afresh, expect_state, send

if TYPE_CHECKING:
    from tests.web.fake_api import FakeProgram


def test_copy_gives_the_text_as_it_came(chat: Page, program: FakeProgram) -> None:
    program.reply = ["See:\n\n```python\n", "print('<hi>')\n\nprint(2)\n", "```\n\nDone."]
    send(chat, "Code?")
    expect_state(chat, "done")
    expect(answer(chat).locator(".prose")).to_have_text(["See:", "Done."])
    expect(answer(chat).locator(".code-language")).to_have_text("python")
    assert answer(chat).locator("pre").text_content() == "print('<hi>')\n\nprint(2)"
    answer(chat).get_by_role("button", name="Copy code").click()
    expect(answer(chat).locator(".code-head .action")).to_have_attribute("title", "Copied")
    assert chat.evaluate("() => navigator.clipboard.readText()") == "print('<hi>')\n\nprint(2)"
    answer(chat).get_by_role("button", name="Copy", exact=True).click()
    expect(answer(chat).locator(".message-actions .action").first).to_have_attribute("title", "Copied")
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


def test_very_long_answer_in_many_pieces_arrives_whole(chat: Page, program: FakeProgram) -> None:
    program.reply = ["token " * 5 + ("\n" if number % 9 == 0 else "") for number in range(4000)]
    send(chat, "Write a book")
    expect_state(chat, "done")
    assert len(answer(chat).locator(".message-body").evaluate("body => body.textContent")) > 110_000
