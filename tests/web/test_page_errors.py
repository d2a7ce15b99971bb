"""The page in a real browser: refused requests, broken streams, a program that goes away."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.web.fake_api import DEFAULT_REPLY, FakeProgram, FakeServer
from tests.web.page_driver import answer, expect_state, send


def test_error_is_shown_in_the_conversation_and_retry_asks_again(chat: Page, program: FakeProgram) -> None:
    program.failures = [(503, "8 requests are waiting <b>already</b>; try again", "queue_full")]
    send(chat, "Hello")
    expect(answer(chat).locator(".notice-error p")).to_have_text("8 requests are waiting <b>already</b>; try again.")
    expect_state(chat, "failed")
    answer(chat).get_by_role("button", name="Retry").click()
    expect(answer(chat).locator(".prose")).to_have_text(DEFAULT_REPLY)
    expect(chat.locator(".notice-error")).to_have_count(0)
    expect(chat.locator(".message")).to_have_count(2)
    assert program.chats[0] == program.chats[1]


def test_conversation_too_long_says_what_to_do(chat: Page, program: FakeProgram) -> None:
    program.failures = [(400, "the prompt has 5000 tokens, the context 4096", "context_length_exceeded")]
    send(chat, "Hello")
    expect(answer(chat).locator(".notice-error p")).to_contain_text("Start a new chat")


def test_messages_after_a_failed_answer_keep_roles_alternating(chat: Page, program: FakeProgram) -> None:
    program.failures = [(500, "it broke", None)]
    send(chat, "One")
    expect_state(chat, "failed")
    send(chat, "Two")
    expect_state(chat, "done")
    assert program.chats[1]["messages"] == [{"role": "user", "content": "One\n\nTwo"}]


def test_stream_that_breaks_off_keeps_its_text_and_says_so(chat: Page, program: FakeProgram) -> None:
    program.break_off = True
    send(chat, "Hello")
    expect_state(chat, "failed")
    expect(answer(chat).locator(".prose")).to_have_text(DEFAULT_REPLY)
    expect(answer(chat).locator(".notice-error p")).to_contain_text("before the answer was complete")
    program.break_off = False
    answer(chat).get_by_role("button", name="Retry").click()
    expect_state(chat, "done")


def test_program_that_goes_away_and_comes_back(page: Page, program: FakeProgram) -> None:
    with FakeServer(program) as first:
        port = first.port
        page.goto(first.address)
        send(page, "One")
        expect_state(page, "done")
    send(page, "Two")
    expect_state(page, "failed")
    expect(page.locator("#connection-banner")).to_contain_text("no longer answers")
    expect(answer(page).locator(".notice-error p")).to_contain_text("does not answer")
    with FakeServer(program, port):
        expect(page.locator("#connection-banner")).to_be_hidden()
        answer(page).get_by_role("button", name="Retry").click()
        expect_state(page, "done")
