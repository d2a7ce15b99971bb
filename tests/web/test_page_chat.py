"""The page in a real browser: writing, streaming, stopping, asking again, scrolling."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.web.fake_api import DEFAULT_REPLY, FakeProgram, FakeServer
from tests.web.page_driver import answer, expect_state, send

WORDS = [f"word{number} " for number in range(60)]


def test_answer_streams_in_and_shows_its_speed(chat: Page, program: FakeProgram) -> None:
    program.reply = ["Paris ", "is the capital."]
    program.pause_s = 0.2
    program.gate.clear()
    send(chat, "Capital of France?")
    expect(answer(chat).locator(".prose")).to_have_text("Paris ")
    expect_state(chat, "streaming")
    expect(answer(chat)).to_have_attribute("aria-busy", "true")
    program.gate.set()
    expect(answer(chat).locator(".prose")).to_have_text("Paris is the capital.")
    expect_state(chat, "done")
    expect(answer(chat).locator(".message-facts")).to_have_text(
        re.compile(r"^40 tokens · [\d.,]+ tokens/s · first after [\d.]+\xa0s$")
    )
    expect(chat.locator("#announcer")).to_have_text("Harbour Help says: Paris is the capital.")
    request = program.chats[0]
    assert request["stream"] is True
    assert request["stream_options"] == {"include_usage": True}
    assert set(request) == {"messages", "stream", "stream_options"}


def test_whole_conversation_is_sent_each_time(chat: Page, program: FakeProgram) -> None:
    send(chat, "One")
    expect_state(chat, "done")
    send(chat, "Two")
    expect(chat.locator(".message")).to_have_count(4)
    expect_state(chat, "done")
    roles = [(message["role"], message["content"]) for message in program.chats[1]["messages"]]
    assert roles == [("user", "One"), ("assistant", DEFAULT_REPLY), ("user", "Two")]


@pytest.mark.parametrize("way", ["button", "escape"])
def test_stop_keeps_what_is_there_and_frees_the_program(chat: Page, program: FakeProgram, way: str) -> None:
    program.reply = WORDS
    program.gate.clear()
    send(chat, "Count")
    expect(answer(chat).locator(".prose")).to_have_text("word0 ")
    expect(chat.get_by_role("button", name="Send")).to_be_hidden()
    if way == "button":
        chat.get_by_role("button", name="Stop", exact=True).click()
    else:
        chat.keyboard.press("Escape")
    expect_state(chat, "stopped")
    expect(answer(chat).locator(".notice-text")).to_have_text("Stopped.")
    expect(answer(chat).locator(".prose")).to_have_text("word0 ")
    assert program.dropped.wait(10)
    expect(chat.get_by_role("button", name="Send")).to_be_visible()


def test_regenerate_replaces_the_last_answer_only(chat: Page, program: FakeProgram) -> None:
    send(chat, "One")
    expect_state(chat, "done")
    send(chat, "Two")
    expect(chat.locator(".message")).to_have_count(4)
    expect_state(chat, "done")
    program.reply = ["Another answer."]
    answer(chat).get_by_role("button", name="Write again").click()
    expect(answer(chat).locator(".prose")).to_have_text("Another answer.")
    expect(chat.locator(".message")).to_have_count(4)
    assert program.chats[2]["messages"] == program.chats[1]["messages"]


def test_enter_sends_and_shift_enter_starts_a_line(chat: Page, program: FakeProgram) -> None:
    field = chat.locator("#composer-input")
    before_px = field.evaluate("field => field.offsetHeight")
    chat.keyboard.type("first")
    chat.keyboard.press("Shift+Enter")
    chat.keyboard.type("second")
    assert program.chats == []
    assert field.evaluate("field => field.offsetHeight") > before_px
    chat.keyboard.press("Enter")
    expect_state(chat, "done")
    assert program.chats[0]["messages"] == [{"role": "user", "content": "first\nsecond"}]
    expect(field).to_have_value("")
    assert field.evaluate("field => field.offsetHeight") == before_px


def test_enter_that_ends_an_input_method_does_not_send(chat: Page, program: FakeProgram) -> None:
    chat.locator("#composer-input").fill("にほん")
    press = "(field, init) => field.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, ...init}))"
    chat.locator("#composer-input").evaluate(press, {"isComposing": True})
    chat.locator("#composer-input").evaluate(press, {"keyCode": 229})
    expect(chat.locator(".message")).to_have_count(0)
    expect(chat.locator("#composer-input")).to_have_value("にほん")
    chat.locator("#composer-input").evaluate(press, {})
    expect(chat.locator(".message")).to_have_count(2)
    expect_state(chat, "done")
    assert len(program.chats) == 1


def test_blank_messages_are_not_sent(chat: Page, program: FakeProgram) -> None:
    expect(chat.get_by_role("button", name="Send")).to_be_disabled()
    send(chat, "  \n ")
    expect(chat.get_by_role("button", name="Send")).to_be_disabled()
    expect(chat.locator(".message")).to_have_count(0)


def test_nothing_is_sent_while_an_answer_is_written(chat: Page, program: FakeProgram) -> None:
    program.reply = WORDS
    program.gate.clear()
    send(chat, "One")
    expect_state(chat, "streaming")
    send(chat, "Two")
    expect(chat.locator("#composer-input")).to_have_value("Two")
    expect(chat.locator(".message")).to_have_count(2)
    program.gate.set()
    expect_state(chat, "done")
    chat.keyboard.press("Enter")
    expect(chat.locator(".message")).to_have_count(4)


def test_draft_survives_a_reload(chat: Page) -> None:
    chat.locator("#composer-input").fill("Not yet\nsent")
    chat.reload()
    expect(chat.locator("#composer-input")).to_be_visible()
    expect(chat.locator("#composer-input")).to_have_value("Not yet\nsent")


def test_new_chat_that_is_not_kept_stops_the_old_one(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.info["history"] = {"enabled": False, "why": "started with --no-history", "path": None}
    chat = page
    chat.goto(server.address)
    program.reply = WORDS
    program.gate.clear()
    send(chat, "Count")
    expect_state(chat, "streaming")
    chat.get_by_role("button", name="New chat").click()
    expect(chat.locator(".message")).to_have_count(0)
    assert program.dropped.wait(10)
    program.gate.set()
    program.reply = ["Fresh."]
    send(chat, "Again")
    expect(answer(chat).locator(".prose")).to_have_text("Fresh.")
    assert program.chats[-1]["messages"] == [{"role": "user", "content": "Again"}]


def test_reader_who_scrolls_up_is_left_in_peace(chat: Page, program: FakeProgram) -> None:
    program.reply = [f"line {number}\n" for number in range(200)]
    send(chat, "Write")
    expect_state(chat, "done")
    scroller = chat.locator("#scroller")
    gap = "box => box.scrollHeight - box.clientHeight - box.scrollTop"
    chat.wait_for_function(f"() => ({gap})(document.querySelector('#scroller')) < 4")
    expect(chat.locator("#jump")).to_be_hidden()
    program.pause_s = 0.01
    answer(chat).get_by_role("button", name="Write again").click()
    expect(answer(chat).locator(".prose")).to_contain_text("line 60")
    scroller.hover()
    chat.mouse.wheel(0, -400)
    expect(chat.locator("#jump")).to_be_visible()
    top_px = scroller.evaluate("box => box.scrollTop")
    expect(answer(chat).locator(".prose")).to_contain_text("line 150")
    assert scroller.evaluate("box => box.scrollTop") == pytest.approx(top_px, abs=2)
    chat.locator("#jump").click()
    expect_state(chat, "done")
    chat.wait_for_function(f"() => ({gap})(document.querySelector('#scroller')) < 4")
    expect(chat.locator("#jump")).to_be_hidden()
