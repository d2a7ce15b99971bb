"""The page in a real browser: what it asked for is answered late, when more has happened on the page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.web.fake_api import DEFAULT_REPLY
from tests.web.page_driver import answer, expect_state, open_chat, send

if TYPE_CHECKING:
    from playwright.sync_api import APIResponse, Page, Route

    from tests.web.fake_api import FakeProgram

ONE_CHAT = re.compile(r"/api/chats/[^/?]+$")


class LateNews:
    """Takes what the program says of a chat at once and hands it to the page when told to."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._held: list[tuple[Route, APIResponse]] = []
        self._has_arrived = False
        page.route(ONE_CHAT, self._take)

    def _take(self, route: Route) -> None:
        if route.request.method == "GET" and not self._has_arrived:
            self._held.append((route, route.fetch()))
        else:
            route.continue_()

    def await_question(self) -> None:
        """Have the page look for news until it has asked for the chat that it shows."""
        for _ in range(200):
            self._page.evaluate("window.dispatchEvent(new Event('focus'))")
            self._page.wait_for_timeout(25)
            if self._held:
                return
        raise AssertionError("the page asked for no chat")

    def arrive(self) -> None:
        """Let all of it reach the page, and the page look at it."""
        self._has_arrived = True
        for route, response in self._held:
            with self._page.expect_event("requestfinished", lambda one: one.method == "GET"):
                route.fulfill(response=response)
        self._page.evaluate("() => new Promise((done) => setTimeout(done, 0))")


@pytest.fixture
def late_news(chat: Page) -> LateNews:
    return LateNews(chat)


def test_an_answer_written_meanwhile_stays(chat: Page, late_news: LateNews) -> None:
    send(chat, "Hello")
    expect_state(chat, "done")
    late_news.await_question()
    answer(chat).get_by_role("button", name="Write again").click()
    expect_state(chat, "done")
    expect(answer(chat)).to_have_attribute("data-versions", "2")
    send(chat, "And then?")
    expect(chat.locator(".message-assistant")).to_have_count(2)
    expect_state(chat, "done")
    late_news.arrive()
    expect(chat.locator(".message-assistant")).to_have_count(2)
    expect(chat.locator(".message-user").last).to_contain_text("And then?")


def test_a_message_edited_meanwhile_stays_open(chat: Page, program: FakeProgram, late_news: LateNews) -> None:
    send(chat, "Hello")
    expect_state(chat, "done")
    program.kept.add_message(program.kept.only_chat(), role="user", content="From elsewhere")
    late_news.await_question()
    chat.locator(".message-user").hover()
    chat.locator(".message-user").get_by_role("button", name="Edit").click()
    chat.locator(".editor textarea").fill("Hello there")
    late_news.arrive()
    expect(chat.locator(".editor textarea")).to_have_value("Hello there")


def test_a_chat_that_is_still_being_saved_is_opened_as_it_is(chat: Page, program: FakeProgram) -> None:
    held: list[Route] = []
    send(chat, "Whales")
    expect_state(chat, "done")
    expect(chat.locator(".chat-row")).to_have_count(1)
    program.reply = ["Ships."]
    chat.route(re.compile(r"/api/chats/[^/]+/messages"), lambda route: held.append(route))
    send(chat, "And ships?")
    expect(chat.locator(".message-assistant")).to_have_count(2)
    expect_state(chat, "done")
    chat.locator("#new-chat").click()
    expect(chat.locator(".message")).to_have_count(0)
    open_chat(chat, "Whales")
    expect(answer(chat).locator(".prose")).to_have_text("Ships.")
    expect(chat.locator(".message-assistant .prose").first).to_have_text(DEFAULT_REPLY)
    while held:
        held.pop(0).continue_()
        chat.wait_for_timeout(50)
