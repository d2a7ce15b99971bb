"""The page in a real browser: Markdown as it streams in, code, formulas, copying."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from tests.web.page_driver import answer, ask_afresh, expect_state, send

if TYPE_CHECKING:
    from tests.web.fake_api import FakeProgram

TOUR = r"""# A title

Words with **bold**, *slanted*, ~~struck~~ and `code`; a [link](https://example.org/a "t").
The same paragraph.

| Port | Depth |
|:--|--:|
| Kiel | 9 m |
| Wismar | 8 m |

1. one
2. two
   - inner

     more of it
3. three

- [x] done
- [ ] open

> Quoted
> words

```python
def f(x):
    return x  # twice
```

Inline $a^2 + b^2$ and \(c^2\), then

$$
\frac{1}{2}
$$

\[ x_1 \]

---

It costs $5 or $6. Written [later][ref].

[ref]: https://example.org/later
"""
OUTLINE = """node => {
  const of = node => node.nodeType === 3 ? node.data
    : node.classList.contains('formula') ? ['formula', node.querySelector('annotation')?.textContent]
    : node.tagName === 'FIGURE' ? ['code', node.querySelector('code').textContent]
    : [node.tagName.toLowerCase(), ...[...node.childNodes].map(of)];
  return [...node.childNodes].map(of);
}"""


def body_outline(page: Page) -> object:
    expect(answer(page).locator(".formula:not(:has(.katex))")).to_have_count(0)
    return answer(page).locator(".message-body").evaluate(OUTLINE)


def test_markdown_becomes_what_it_means(chat: Page, program: FakeProgram) -> None:
    program.reply = [TOUR]
    send(chat, "Tour")
    expect_state(chat, "done")
    link = ["a", "link"]
    words = [
        "Words with ",
        ["strong", "bold"],
        ", ",
        ["em", "slanted"],
        ", ",
        ["s", "struck"],
        " and ",
        ["code", "code"],
    ]
    head = ["thead", ["tr", ["th", "Port"], ["th", "Depth"]]]
    rows = [["tr", ["td", "Kiel"], ["td", "9 m"]], ["tr", ["td", "Wismar"], ["td", "8 m"]]]
    inner = ["ul", ["li", ["p", "inner"], ["p", "more of it"]]]
    assert body_outline(chat) == [
        ["h3", "A title"],
        ["p", *words, "; a ", link, ".", ["br"], "The same paragraph."],
        ["div", ["table", head, ["tbody", *rows]]],
        ["ol", ["li", ["p", "one"]], ["li", ["p", "two"], inner], ["li", ["p", "three"]]],
        ["ul", ["li", ["p", "☑\u00a0done"]], ["li", ["p", "☐\u00a0open"]]],
        ["blockquote", ["p", "Quoted", ["br"], "words"]],
        ["code", "def f(x):\n    return x  # twice"],
        ["p", "Inline ", ["formula", "a^2 + b^2"], " and ", ["formula", "c^2"], ", then"],
        ["formula", "\\frac{1}{2}"],
        ["formula", "x_1"],
        ["hr"],
        ["p", "It costs $5 or $6. Written ", ["a", "later"], "."],
    ]
    assert answer(chat).locator("td").nth(1).evaluate("cell => getComputedStyle(cell).textAlign") == "end"
    fonts = answer(chat).locator(".formula .mord").first.evaluate("node => getComputedStyle(node).fontFamily")
    assert "KaTeX" in fonts


@pytest.mark.parametrize("size", [1, 3, 17, 400])
def test_markdown_does_not_depend_on_how_it_is_cut(chat: Page, program: FakeProgram, size: int) -> None:
    program.reply = [TOUR]
    send(chat, "Whole")
    expect_state(chat, "done")
    whole = body_outline(chat)
    program.reply = [TOUR[start : start + size] for start in range(0, len(TOUR), size)]
    program.pause_s = 0.0 if size < 10 else 0.02
    ask_afresh(chat, "In pieces")
    assert body_outline(chat) == whole


def test_what_is_complete_is_never_touched_again(chat: Page, program: FakeProgram) -> None:
    """While text comes in, only the block at its end changes: 300 pieces replace hardly a node."""
    program.reply = [f"Paragraph {number} with *some* `words`.\n\n" for number in range(100)]
    program.reply += ["```python\n", *[f"line_{number} = {number}\n" for number in range(100)], "```\n\n"]
    program.reply += ["| a | b |\n|--|--|\n", *[f"| {number} | x |\n" for number in range(100)]]
    program.pause_s = 0.004
    chat.evaluate(
        "() => { window.counted = {removed: 0, added: 0};"
        " new MutationObserver(changes => { for (const change of changes) {"
        " if (!change.target.parentElement?.closest('.message-body')) continue;"
        " window.counted.removed += change.removedNodes.length; window.counted.added += change.addedNodes.length; } })"
        ".observe(document.querySelector('#messages'), {subtree: true, childList: true}) }"
    )
    send(chat, "Long")
    expect_state(chat, "done")
    expect(answer(chat).locator("tr")).to_have_count(101)
    counted = chat.evaluate("() => window.counted")
    nodes = answer(chat).locator(".message-body").evaluate("body => body.querySelectorAll('*').length")
    assert nodes > 600
    assert counted["removed"] < 60
    assert counted["added"] < nodes


def test_code_is_coloured_when_complete_and_only_in_known_languages(chat: Page, program: FakeProgram) -> None:
    program.reply = ["```python\ndef f(): return 'x'\n```\n\n```klingon\nqapla' = 1\n```\n\n```js\nlet open = `1"]
    send(chat, "Code?")
    expect_state(chat, "done")
    code = answer(chat).locator(".code")
    expect(code.nth(0)).to_have_attribute("data-coloured", "yes")
    expect(code.nth(0).locator(".hl-keyword")).to_have_text(["def", "return"])
    expect(code.nth(0).locator(".hl-string")).to_have_text("'x'")
    expect(code.nth(1)).to_have_attribute("data-coloured", "no")
    expect(code.nth(1).locator("code")).to_have_text("qapla' = 1")
    expect(code.nth(2)).to_have_attribute("data-coloured", "yes")
    assert code.nth(2).locator("code").text_content() == "let open = `1"


FORMULAS = {
    "Price $5 and $10, or US$20": [],
    "$x$": ["x"],
    "a $x$b $y$1 $ z$ $w $": ["x"],
    "$$a$$ in a line": ["a"],
    "\\(a\\) \\[b\\]": ["a", "b"],
    "`$x$` and \\$y$": [],
    "$$\n\\begin{pmatrix}1&2\\end{pmatrix}\n$$": ["\\begin{pmatrix}1&2\\end{pmatrix}"],
    "- in a list $$x$$\n- \\[y\\]": ["x", "y"],
    "$a\n\nb$": [],
    "$$never closed": [],
    "$\\pmb{x}$ $\\boxed{y}$ $\\fcolorbox{red}{blue}{z}$": ["\\pmb{x}", "\\boxed{y}", "\\fcolorbox{red}{blue}{z}"],
}


def test_formulas_are_found_where_they_are_and_nowhere_else(chat: Page, program: FakeProgram) -> None:
    found = {}
    for text in FORMULAS:
        program.reply = [text]
        ask_afresh(chat, "Math?")
        expect(answer(chat).locator(".formula:not(:has(.katex))")).to_have_count(0)
        found[text] = answer(chat).locator(".formula annotation").all_text_contents()
    assert found == FORMULAS


def test_a_formula_that_cannot_be_read_is_shown_as_written(chat: Page, program: FakeProgram) -> None:
    program.reply = ["Look: $\\frac{1$ and $\\nosuch{x}$."]
    send(chat, "Math?")
    expect_state(chat, "done")
    expect(answer(chat).locator(".formula-failed").first).to_have_text("$\\frac{1$")
    expect(answer(chat).locator(".prose")).to_have_text("Look: $\\frac{1$ and $\\nosuch{x}$.")


def test_copy_gives_the_text_as_it_came(chat: Page, program: FakeProgram) -> None:
    program.reply = ["See:\n\n```python\n", "print('<hi>')\n\nprint(2)\n", "```\n\nDone $x$."]
    send(chat, "Code?")
    expect_state(chat, "done")
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
        found[name] = body_outline(chat)
    assert found == {key: [["p", "a"], ["code", "x\ny"], ["p", "b"]] for key in FENCES}


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
