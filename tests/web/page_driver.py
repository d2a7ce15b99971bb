"""What people do with the page, in words that the tests share."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect


def send(page: Page, text: str) -> None:
    """Write and send a message with the keyboard."""
    page.locator("#composer-input").fill(text)
    page.keyboard.press("Enter")


def answer(page: Page) -> Locator:
    """Return the last answer."""
    return page.locator(".message-assistant").last


def expect_state(page: Page, state: str) -> None:
    """Wait until the last answer is in a state."""
    expect(answer(page)).to_have_attribute("data-state", state)


def ask_afresh(page: Page, text: str) -> None:
    """Send a message as the first of a new chat and wait for the whole answer."""
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".message")).to_have_count(0)
    send(page, text)
    expect_state(page, "done")
