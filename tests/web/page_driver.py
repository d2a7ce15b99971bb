"""What people do with the page, in words that the tests share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from playwright.sync_api import Locator, Page, expect

if TYPE_CHECKING:
    from collections.abc import Callable


def send(page: Page, text: str) -> None:
    """Write and send a message with the keyboard."""
    page.locator("#composer-input").fill(text)
    page.keyboard.press("Enter")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that happens in the program, not on the page."""
    for _ in range(400):
        if condition():
            return
        time.sleep(0.025)
    raise AssertionError(what)


def wait_until_saved(page: Page) -> None:
    """Wait until the program keeps the chat that is open as the page shows it: where it ends, and that it has ended."""
    page.wait_for_function(
        """async (shown) => {
          const id = new URLSearchParams(location.hash.slice(1)).get("chat");
          const response = id && (await fetch(`/api/chats/${id}`));
          if (!response?.ok) return false;
          const { messages, current_message_id } = await response.json();
          const byId = new Map(messages.map((message) => [message.id, message]));
          const path = [];
          for (let at = byId.get(current_message_id); at; at = byId.get(at.parent_id)) path.push(at);
          return path.length === shown && path[0].state !== "streaming";
        }""",
        arg=page.locator(".message").count(),
    )


def answer(page: Page) -> Locator:
    """Return the last answer."""
    return page.locator(".message-assistant").last


def expect_state(page: Page, state: str) -> None:
    """Wait until the last answer is in a state."""
    expect(answer(page)).to_have_attribute("data-state", state)


def new_chat(page: Page) -> None:
    """Begin an empty chat."""
    page.locator("#composer-input").wait_for()
    button = page.locator("#new-chat")
    (button if button.is_visible() else page.locator("#new-chat-here")).click()
    expect(page.locator(".message")).to_have_count(0)


def ask_afresh(page: Page, text: str) -> None:
    """Send a message as the first of a new chat and wait for the whole answer."""
    new_chat(page)
    send(page, text)
    expect_state(page, "done")


def row_of(page: Page, title: str) -> Locator:
    """Return the row of the chat with this title."""
    exactly = page.locator(".chat-title").get_by_text(title, exact=True)
    return page.locator(".chat-row").filter(has=exactly)


def open_chat(page: Page, title: str) -> None:
    """Open a chat from the list, until the address names it."""
    opened = row_of(page, title).locator(".chat-open")
    opened.click()
    expect(opened).to_have_attribute("aria-current", "true")


def open_dialog(page: Page, name: str) -> Locator:
    """Open ``settings``, ``machine`` or ``code`` from the list of chats."""
    page.locator("#composer-input").wait_for()
    if not page.locator("#sidebar").is_visible():
        page.locator("#open-sidebar").click()
    page.locator(f"#open-{name}").click()
    dialog = page.locator(f"#{name}")
    expect(dialog).to_be_visible()
    return dialog
