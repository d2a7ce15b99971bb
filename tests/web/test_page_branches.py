"""The page in a real browser: other versions of messages and the way back, editing, carrying on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.web.page_driver import answer, expect_state, send, until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.web.fake_api import FakeProgram


def versions(message: Locator) -> Locator:
    return message.locator(".versions-count")


def question(page: Page) -> Locator:
    return page.locator(".message-user").last


def ask(page: Page, program: FakeProgram, text: str, reply: str) -> None:
    before = page.locator(".message").count()
    program.reply = [reply]
    send(page, text)
    expect(page.locator(".message")).to_have_count(before + 2)
    expect_state(page, "done")


def test_another_answer_keeps_the_earlier_one(chat: Page, program: FakeProgram) -> None:
    ask(chat, program, "Name a fish", "Cod.")
    expect(chat.locator(".versions")).to_have_count(0)
    program.reply = ["Herring."]
    answer(chat).get_by_role("button", name="Write again").click()
    expect(answer(chat).locator(".prose")).to_have_text("Herring.")
    expect(versions(answer(chat))).to_have_text("2/2")
    expect(answer(chat).get_by_role("button", name="Later version")).to_be_disabled()
    answer(chat).get_by_role("button", name="Earlier version").click()
    expect(answer(chat).locator(".prose")).to_have_text("Cod.")
    expect(versions(answer(chat))).to_have_text("1/2")
    program.reply = ["Gull."]
    send(chat, "And a bird")
    expect(chat.locator(".message")).to_have_count(4)
    expect(answer(chat).locator(".prose")).to_have_text("Gull.")
    sent = [message["content"] for message in program.chats[-1]["messages"]]
    assert sent == ["Name a fish", "Cod.", "And a bird"]


def test_an_edited_question_branches_and_both_ways_stay(chat: Page, program: FakeProgram) -> None:
    ask(chat, program, "One", "First.")
    ask(chat, program, "Two", "Second.")
    first = chat.locator(".message-user").first
    first.hover()
    first.get_by_role("button", name="Edit").click()
    expect(chat.locator(".editor-input")).to_be_focused()
    expect(chat.locator(".editor-input")).to_have_value("One")
    program.reply = ["Other."]
    chat.locator(".editor-input").fill("One, but other")
    chat.keyboard.press("Enter")
    expect(chat.locator(".message")).to_have_count(2)
    expect(answer(chat).locator(".prose")).to_have_text("Other.")
    expect(versions(question(chat))).to_have_text("2/2")
    assert [message["content"] for message in program.chats[-1]["messages"]] == ["One, but other"]
    question(chat).get_by_role("button", name="Earlier version").click()
    expect(chat.locator(".message")).to_have_count(4)
    expect(answer(chat).locator(".prose")).to_have_text("Second.")


def test_branches_are_there_after_a_reload_on_the_same_branch(chat: Page, program: FakeProgram) -> None:
    ask(chat, program, "Name a fish", "Cod.")
    program.reply = ["Herring."]
    answer(chat).get_by_role("button", name="Write again").click()
    expect(versions(answer(chat))).to_have_text("2/2")
    expect_state(chat, "done")
    answer(chat).get_by_role("button", name="Earlier version").click()
    expect(versions(answer(chat))).to_have_text("1/2")
    kept = program.kept.only_chat()
    until(lambda: bool(kept["current_message_id"] == kept["messages"][1]["id"]), "the branch was saved")
    chat.reload()
    expect(answer(chat).locator(".prose")).to_have_text("Cod.")
    expect(versions(answer(chat))).to_have_text("1/2")


def test_edit_can_be_called_off_and_needs_words(chat: Page, program: FakeProgram) -> None:
    ask(chat, program, "One", "First.")
    question(chat).hover()
    question(chat).get_by_role("button", name="Edit").click()
    chat.locator(".editor-input").fill(" ")
    expect(question(chat).get_by_role("button", name="Send")).to_be_disabled()
    chat.keyboard.press("Escape")
    expect(chat.locator(".editor-input")).to_have_count(0)
    expect(question(chat).locator(".plain")).to_have_text("One")
    assert len(program.chats) == 1


def test_an_edited_answer_is_another_version_and_asks_nobody(chat: Page, program: FakeProgram) -> None:
    ask(chat, program, "One", "First *draft*.")
    answer(chat).get_by_role("button", name="Edit").click()
    chat.locator(".editor-input").fill("Second **draft**.")
    answer(chat).get_by_role("button", name="Save").click()
    expect(answer(chat).locator("strong")).to_have_text("draft")
    expect(versions(answer(chat))).to_have_text("2/2")
    assert len(program.chats) == 1
    ask(chat, program, "Two", "Third.")
    assert program.chats[1]["messages"][1]["content"] == "Second **draft**."


@pytest.mark.parametrize("way", ["stopped", "cut off"])
def test_an_answer_that_broke_off_is_carried_on_with(chat: Page, program: FakeProgram, way: str) -> None:
    program.reply = ["The **quick", " brown"]
    if way == "stopped":
        program.gate.clear()
        send(chat, "Fox?")
        expect(answer(chat).locator(".prose")).to_contain_text("quick")
        chat.get_by_role("button", name="Stop", exact=True).click()
        expect_state(chat, "stopped")
    else:
        program.finish_reason = "length"
        send(chat, "Fox?")
        expect_state(chat, "done")
        expect(answer(chat).locator(".notice")).to_contain_text("cut off")
    begun = "The **quick" if way == "stopped" else "The **quick brown"
    program.gate.set()
    program.reply = [" fox** jumps", "."]
    program.finish_reason = "stop"
    answer(chat).locator(".notice").get_by_role("button", name="Continue").click()
    expect(answer(chat).locator(".prose")).to_have_text(f"{begun.replace('**', '')} fox jumps.")
    expect(answer(chat).locator("strong")).to_contain_text("fox")
    expect_state(chat, "done")
    assert program.chats[-1]["messages"] == [
        {"role": "user", "content": "Fox?"},
        {"role": "assistant", "content": begun},
    ]
    expect(chat.locator(".message")).to_have_count(2)
    expect(chat.get_by_role("button", name="Continue")).to_have_count(0)


def test_nothing_branches_while_an_answer_is_written(chat: Page, program: FakeProgram) -> None:
    ask(chat, program, "One", "First.")
    program.reply = ["a", "b"]
    program.gate.clear()
    send(chat, "Two")
    expect_state(chat, "streaming")
    for name in ("Edit", "Write again", "Continue"):
        expect(chat.get_by_role("button", name=name)).to_have_count(0)
    program.gate.set()
    expect_state(chat, "done")
    expect(answer(chat).get_by_role("button", name="Write again")).to_have_count(1)
