"""The page in a real browser: widths, colours, motion, keyboard, and that all stays on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.web.page_driver import expect_state, send

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.web.conftest import Watch
    from tests.web.fake_api import FakeProgram, FakeServer


@pytest.mark.parametrize("width_px", [320, 375, 768, 1920])
def test_no_width_scrolls_sideways(page: Page, server: FakeServer, program: FakeProgram, width_px: int) -> None:
    page.set_viewport_size({"width": width_px, "height": 700})
    program.info["title"] = "A rather long title for a small telephone, and then some more of it"
    program.info["chat"]["starters"] = ["Why " * 20, "x" * 120]
    program.reply = ["Text " * 60, "\n\n```python\n", "print('" + "long " * 60 + "')\n", "```\n", "y" * 3000]
    page.goto(server.address)
    fits = (
        "() => [document.documentElement, document.querySelector('#scroller')]"
        ".every(box => box.scrollWidth <= box.clientWidth)"
    )
    page.locator(".starter").first.wait_for()
    assert page.evaluate(fits) is True
    program.failures = [(503, "e" * 500, None)]
    send(page, "z" * 400)
    expect_state(page, "failed")
    assert page.evaluate(fits) is True
    page.get_by_role("button", name="Retry").click()
    expect_state(page, "done")
    assert page.evaluate(fits) is True
    for name in ("settings", "machine", "code"):
        if not page.locator(f"#open-{name}").is_visible():
            page.locator("#open-sidebar").click()
        page.locator(f"#open-{name}").click()
        dialog = page.locator("dialog[open]")
        assert dialog.evaluate("box => box.scrollWidth <= box.clientWidth && box.offsetWidth <= innerWidth") is True
        page.keyboard.press("Escape")
    right_px = page.locator("#send").evaluate("button => button.getBoundingClientRect().right")
    assert right_px <= width_px


def test_colours_follow_the_system(page: Page, server: FakeServer) -> None:
    brightness = "() => getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)[0]"
    page.emulate_media(color_scheme="light")
    page.goto(server.address)
    assert page.evaluate(brightness) > 200
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(brightness) < 50


def test_reduced_motion_is_respected(page: Page, server: FakeServer, program: FakeProgram) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(server.address)
    moving = page.evaluate(
        "() => [...document.querySelectorAll('*')].filter(node => ['', '::before', '::after'].some(part =>"
        " getComputedStyle(node, part || undefined).animationName !== 'none')).length"
    )
    assert moving == 0


def test_everything_is_reached_by_keyboard_and_focus_is_seen(chat: Page) -> None:
    send(chat, "Hello")
    expect_state(chat, "done")
    expect(chat.locator(".chat-row:not(.chat-writing) .chat-open")).to_have_text("Hello")
    chat.locator("#composer-input").fill("draft")
    chat.locator(".skip-link").focus()
    reached = []
    for _ in range(24):
        chat.keyboard.press("Tab")
        name, outlined = chat.evaluate(
            "() => { const at = document.activeElement, frame = at.closest('.composer') ?? at; return"
            " [at.id || at.getAttribute('aria-label') || at.textContent.trim(),"
            " [at, frame].some(node => getComputedStyle(node).outlineStyle !== 'none')] }"
        )
        assert outlined, name
        reached.append(name)
        if name == "send":
            break
    aside = ["close-sidebar", "new-chat", "chats-menu", "chat-search", "Hello", "More about “Hello”"]
    foot = ["open-code", "open-machine", "open-settings"]
    messages = ["Copy", "Edit", "Copy", "Edit", "Write again"]
    assert reached == [*aside, *foot, "scroller", *messages, "composer-input", "attach", "send"]


def test_only_this_machine_is_asked(chat: Page, watch: Watch) -> None:
    send(chat, "Hello")
    expect_state(chat, "done")
    assert {address.split("/", 3)[2].split(":")[0] for address in watch.addresses} == {"127.0.0.1"}
    assert any(address.endswith("/v1/chat/completions") for address in watch.addresses)
