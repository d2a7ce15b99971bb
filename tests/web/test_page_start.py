"""The page in a real browser: starting, and what the file brings with it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.web.fake_api import DEFAULT_REPLY, FakeProgram, FakeServer
from tests.web.page_driver import answer, send


def test_shows_progress_until_the_model_is_loaded(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.health = {"status": "loading", "stage": "loading model", "progress": 0.42}
    page.goto(server.address)
    expect(page.locator("#startup-stage")).to_have_text("Loading the model")
    expect(page.locator("#startup-hint")).to_have_text("42 %")
    assert page.locator("#startup-progress").evaluate("bar => bar.value") == pytest.approx(0.42)
    expect(page.locator("#composer-input")).to_be_hidden()
    program.health = {"status": "ok"}
    expect(page.locator("#composer-input")).to_be_focused()
    expect(page.locator("#startup")).to_be_hidden()


def test_loading_that_fails_is_told_plainly_and_can_be_checked_again(
    page: Page, server: FakeServer, program: FakeProgram
) -> None:
    message = "chat.exe: the model needs 5.2 GB of memory, 3.1 GB are free; close other programs <b>now</b>"
    program.health = {"status": "error", "error": {"message": message}}
    page.goto(server.address)
    expect(page.locator("#startup-stage")).to_have_text(message)
    expect(page.locator("#startup-hint")).to_contain_text("start the program again")
    expect(page.locator("#startup-progress")).to_be_hidden()
    program.health = {"status": "ok"}
    page.get_by_role("button", name="Check again").click()
    expect(page.locator("#composer-input")).to_be_visible()


def test_title_and_model_come_from_the_program(chat: Page) -> None:
    expect(chat).to_have_title("Harbour Help")
    expect(chat.locator("h1")).to_have_text("Harbour Help")
    expect(chat.locator("#model-name")).to_have_text("Harbour 7B Instruct")


def test_the_model_is_named_once(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.info["title"] = program.info["model"]["name"]
    page.goto(server.address)
    expect(page.locator("h1")).to_have_text("Harbour 7B Instruct")
    expect(page.locator("#model-name")).to_have_text("Q4_K_M")
    send(page, "Hello")
    expect(page.locator("h1")).to_have_text("Hello")
    expect(page.locator("#model-name")).to_have_text("Harbour 7B Instruct")


def test_greeting_and_starters_when_the_file_has_them(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.info["chat"] |= {"greeting": "Ahoy! <i>Ask</i> away.", "starters": ["When is high water?", "<b>Fees?</b>"]}
    page.goto(server.address)
    expect(page.locator("#greeting")).to_have_text("Ahoy! <i>Ask</i> away.")
    expect(page.locator(".starter")).to_have_text(["When is high water?", "<b>Fees?</b>"])
    page.get_by_role("button", name="<b>Fees?</b>").click()
    expect(answer(page).locator(".prose")).to_have_text(DEFAULT_REPLY)
    assert program.chats[0]["messages"] == [{"role": "user", "content": "<b>Fees?</b>"}]
    expect(page.locator("#starters")).to_be_hidden()
    expect(page.locator("#greeting")).to_be_visible()
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("#starters")).to_be_visible()
    expect(page.locator(".message")).to_have_count(0)
