"""The page in a real browser: many chats, kept by the program."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.web.fake_api import DEFAULT_REPLY
from tests.web.page_driver import answer, expect_state, new_chat, open_chat, row_of, send, until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.web.fake_api import FakeProgram, FakeServer


def choose(page: Page, title: str, entry: str) -> None:
    row_of(page, title).hover()
    row_of(page, title).locator(".chat-more").click()
    page.get_by_role("menuitem", name=entry, exact=True).click()


@pytest.fixture
def filled(page: Page, server: FakeServer, program: FakeProgram) -> Page:
    """The page, with chats of several ages."""
    program.kept.add_turns(
        "Whales", "What do whales eat?", "Krill and **fish**.", updated_at="2020-01-01T10:00:00.000Z"
    )
    program.kept.add_turns("Lighthouses", "Who keeps them?", "Nobody any more.", folder="Coast")
    program.kept.add_turns("Knots", "Which knot?", "A bowline.", pinned=True)
    program.kept.add_turns("Tides", "When?", "At noon.")
    page.goto(server.address)
    page.locator(".chat-row").first.wait_for()
    return page


def test_list_is_grouped_and_a_chat_opens_from_it(filled: Page) -> None:
    groups = filled.locator("#chat-list section").evaluate_all(
        "sections => sections.map(section => [section.querySelector('h2').textContent,"
        " ...[...section.querySelectorAll('.chat-title')].map(title => title.textContent)])"
    )
    assert groups == [["Pinned", "Knots"], ["Coast", "Lighthouses"], ["Today", "Tides"], ["Older", "Whales"]]
    open_chat(filled, "Whales")
    expect(filled.locator(".message")).to_have_count(2)
    expect(answer(filled).locator("strong")).to_have_text("fish")
    expect(filled.locator("h1")).to_have_text("Whales")
    expect(filled).to_have_title("Whales · Harbour Help")
    expect(row_of(filled, "Whales").locator(".chat-open")).to_have_attribute("aria-current", "true")


def test_chat_is_found_again_by_its_address_and_the_back_button(filled: Page) -> None:
    open_chat(filled, "Whales")
    open_chat(filled, "Tides")
    filled.reload()
    expect(answer(filled)).to_contain_text("At noon.")
    filled.go_back()
    expect(answer(filled)).to_contain_text("Krill")
    filled.go_back()
    expect(filled.locator(".message")).to_have_count(0)


def test_a_chat_that_is_gone_is_told(filled: Page, server: FakeServer) -> None:
    filled.goto("about:blank")
    filled.goto(f"{server.address}/#chat=nothing")
    expect(filled.locator("#toast")).to_contain_text("there is no nothing")
    expect(filled.locator("#composer-input")).to_be_visible()


def test_first_message_gives_the_chat_its_name_and_place(chat: Page, program: FakeProgram) -> None:
    expect(chat.locator(".chat-row")).to_have_count(0)
    send(chat, "  \nWhat is the tallest lighthouse that was ever built on any coast of Europe?\nPlease.")
    expect_state(chat, "done")
    title = "What is the tallest lighthouse that was ever built on any c…"
    expect(row_of(chat, title)).to_be_visible()
    until(lambda: len(program.kept.only_chat()["messages"]) == 2, "the answer was saved")
    kept = program.kept.only_chat()
    assert kept["title"] == title
    assert [(entry["role"], entry["state"]) for entry in kept["messages"]] == [("user", "done"), ("assistant", "done")]
    assert kept["messages"][1]["content"] == DEFAULT_REPLY
    assert kept["messages"][1]["parent_id"] == kept["messages"][0]["id"]
    assert kept["messages"][1]["usage"]["completion_tokens"] == 40
    assert kept["messages"][1]["timings"]["generated_tokens"] == 40
    expect(chat).to_have_url(re.compile(f"#chat={kept['id']}$"))


def test_growing_answer_is_saved_while_it_grows(chat: Page, program: FakeProgram) -> None:
    program.reply = [f"word{number} " for number in range(4000)]
    program.pause_s = 0.01
    send(chat, "Count")
    until(lambda: len(program.kept.saves) >= 4, "the answer was saved four times")
    lengths = [len(save["content"]) for save in program.kept.saves[:4]]
    assert lengths == sorted(set(lengths))
    assert {save["state"] for save in program.kept.saves[:4]} == {"streaming"}
    chat.get_by_role("button", name="Stop", exact=True).click()
    until(lambda: program.kept.saves[-1]["state"] == "stopped", "the end was saved")
    shown = answer(chat).locator(".message-body").inner_text()
    assert program.kept.only_chat()["messages"][1]["content"].strip() == shown.strip()


def test_answer_goes_on_while_another_chat_is_read(filled: Page, program: FakeProgram) -> None:
    program.reply = ["One ", "two ", "three."]
    program.gate.clear()
    send(filled, "Count")
    expect_state(filled, "streaming")
    open_chat(filled, "Whales")
    expect(answer(filled)).to_contain_text("Krill")
    expect(row_of(filled, "Count")).to_have_class(re.compile("chat-writing"))
    expect(filled.get_by_role("button", name="Stop", exact=True)).to_be_hidden()
    open_chat(filled, "Count")
    expect_state(filled, "streaming")
    program.gate.set()
    expect(answer(filled).locator(".prose")).to_have_text("One two three.")
    expect(row_of(filled, "Count")).not_to_have_class(re.compile("chat-writing"))


def test_search_looks_into_titles_and_texts(filled: Page) -> None:
    filled.locator("#chat-search").fill("bowline")
    expect(filled.locator(".chat-row")).to_have_count(1)
    expect(row_of(filled, "Knots").locator(".chat-snippet")).to_have_text("A bowline.")
    filled.locator("#chat-search").fill("submarine")
    expect(filled.locator(".chat-list-empty")).to_have_text("Nothing found.")
    filled.locator("#chat-search").fill("")
    expect(filled.locator(".chat-row")).to_have_count(4)


def test_rename_pin_and_file(filled: Page, program: FakeProgram) -> None:
    open_chat(filled, "Whales")
    choose(filled, "Whales", "Rename")
    filled.locator(".chat-rename").fill("Baleen <b>whales</b>")
    filled.keyboard.press("Enter")
    expect(row_of(filled, "Baleen <b>whales</b>")).to_be_visible()
    expect(filled.locator("h1")).to_have_text("Baleen <b>whales</b>")
    choose(filled, "Tides", "Rename")
    filled.locator(".chat-rename").fill("Nothing")
    filled.keyboard.press("Escape")
    expect(row_of(filled, "Tides")).to_be_visible()
    choose(filled, "Tides", "Pin")
    expect(filled.locator("#chat-list section").first.locator(".chat-row")).to_have_count(2)
    choose(filled, "Tides", "Unpin")
    choose(filled, "Tides", "Move to folder")
    filled.locator("#ask-input").fill("Sea")
    filled.get_by_role("button", name="Save", exact=True).click()
    expect(filled.locator(".chat-folder")).to_have_text(["Coast", "Sea"])
    folders = {"Baleen <b>whales</b>": "", "Lighthouses": "Coast", "Knots": "", "Tides": "Sea"}
    until(lambda: {one["title"]: one["folder"] for one in program.kept.chats.values()} == folders, "all was saved")


def test_delete_can_be_undone(filled: Page, program: FakeProgram) -> None:
    open_chat(filled, "Whales")
    choose(filled, "Whales", "Delete")
    expect(row_of(filled, "Whales")).to_have_count(0)
    expect(filled.locator(".message")).to_have_count(0)
    until(lambda: len(program.kept.chats) == 3, "the chat was deleted")
    top_px = filled.locator("#composer").evaluate("box => box.getBoundingClientRect().top")
    assert filled.locator("#toast").evaluate("box => box.getBoundingClientRect().bottom") <= top_px
    filled.locator("#toast").get_by_role("button", name="Undo").click()
    expect(row_of(filled, "Whales")).to_be_visible()
    expect(answer(filled)).to_contain_text("Krill")
    assert len(program.kept.chats) == 4


@pytest.mark.parametrize(("entry", "name"), [("Export as Markdown", "chat.md"), ("Export as JSON", "chat.json")])
def test_one_chat_is_exported(filled: Page, tmp_path: Path, entry: str, name: str) -> None:
    with filled.expect_download() as download:
        choose(filled, "Whales", entry)
    assert download.value.suggested_filename == name
    download.value.save_as(tmp_path / name)
    assert "Krill and **fish**." in (tmp_path / name).read_text(encoding="utf-8")


def test_all_chats_are_exported_and_imported(filled: Page, program: FakeProgram, tmp_path: Path) -> None:
    with filled.expect_download() as download:
        filled.locator("#chats-menu").click()
        filled.get_by_role("menuitem", name="Export all as JSON").click()
    download.value.save_as(tmp_path / "chats.json")
    assert len(json.loads((tmp_path / "chats.json").read_text(encoding="utf-8"))["chats"]) == 4
    with filled.expect_file_chooser() as chooser:
        filled.locator("#chats-menu").click()
        filled.get_by_role("menuitem", name="Import chats").click()
    chooser.value.set_files(tmp_path / "chats.json")
    expect(filled.locator("#toast")).to_have_text("4 chats imported.")
    expect(filled.locator(".chat-row")).to_have_count(8)
    assert len(program.kept.chats) == 8


COMES_BACK = {
    "tab": "() => document.dispatchEvent(new Event('visibilitychange'))",
    "window": "() => window.dispatchEvent(new Event('focus'))",
}
"""How a page learns that its reader looks at it again."""


@pytest.mark.parametrize("way", COMES_BACK)
def test_what_another_browser_changed_is_seen(filled: Page, program: FakeProgram, way: str) -> None:
    open_chat(filled, "Whales")
    expect(answer(filled)).to_contain_text("Krill")
    whales = next(chat for chat in program.kept.chats.values() if chat["title"] == "Whales")
    program.kept.add_message(whales, role="user", content="And how much?")
    growing = program.kept.add_message(whales, role="assistant", content="Tonnes", state="streaming")
    filled.evaluate(COMES_BACK[way])
    expect(answer(filled).locator(".prose")).to_have_text("Tonnes")
    expect_state(filled, "stopped")
    growing |= {"content": "Tonnes of it.", "state": "done"}
    filled.evaluate(COMES_BACK[way])
    expect(answer(filled).locator(".prose")).to_have_text("Tonnes of it.")
    expect_state(filled, "done")


def test_what_another_browser_changed_is_seen_while_nobody_does_anything(filled: Page, program: FakeProgram) -> None:
    filled.clock.install()
    filled.reload()
    open_chat(filled, "Whales")
    whales = next(chat for chat in program.kept.chats.values() if chat["title"] == "Whales")
    program.kept.add_message(whales, role="user", content="And how much?")
    filled.clock.run_for(11_000)
    expect(filled.locator(".message-user").last).to_contain_text("And how much?")


def test_a_message_being_edited_is_left_in_peace(filled: Page, program: FakeProgram) -> None:
    open_chat(filled, "Whales")
    whales = next(chat for chat in program.kept.chats.values() if chat["title"] == "Whales")
    filled.locator(".message-user").hover()
    filled.locator(".message-user").get_by_role("button", name="Edit").click()
    filled.locator(".editor textarea").fill("What do they eat?")
    program.kept.add_message(whales, role="user", content="And how much?")
    with filled.expect_response(re.compile("/api/chats\\?query=")):
        filled.evaluate(COMES_BACK["window"])
    expect(filled.locator(".editor textarea")).to_have_value("What do they eat?")
    filled.get_by_role("button", name="Cancel").click()
    filled.evaluate(COMES_BACK["window"])
    expect(filled.locator(".message-user").last).to_contain_text("And how much?")


def test_what_could_not_be_saved_is_not_replaced_by_what_is_kept(chat: Page, program: FakeProgram) -> None:
    program.reply = ["One ", "two"]
    program.gate.clear()
    send(chat, "Count")
    until(lambda: bool(program.kept.saves), "the beginning was saved")
    program.kept.refusal = (507, "the disk is full")
    program.gate.set()
    expect_state(chat, "done")
    expect(chat.locator("#chats-note")).to_contain_text("could not be saved: the disk is full")
    program.kept.refusal = None
    assert program.kept.only_chat()["messages"][1]["content"] != "One two"
    chat.evaluate(COMES_BACK["window"])
    until(lambda: program.kept.only_chat()["messages"][1]["content"] == "One two", "the rest was saved")
    expect(answer(chat).locator(".prose")).to_have_text("One two")
    expect_state(chat, "done")


def test_what_could_not_be_saved_is_saved_when_the_page_is_closed(chat: Page, program: FakeProgram) -> None:
    program.reply = ["One ", "two"]
    program.gate.clear()
    send(chat, "Count")
    until(lambda: bool(program.kept.saves), "the beginning was saved")
    program.kept.refusal = (507, "the disk is full")
    program.gate.set()
    expect_state(chat, "done")
    expect(chat.locator("#chats-note")).to_contain_text("could not be saved: the disk is full")
    program.kept.refusal = None
    chat.goto("about:blank")
    until(lambda: program.kept.only_chat()["messages"][1]["content"] == "One two", "the rest was saved")
    assert program.kept.only_chat()["messages"][1]["state"] == "done"


def test_an_answer_that_the_closing_page_breaks_off_is_kept_as_stopped(chat: Page, program: FakeProgram) -> None:
    program.reply = ["One ", "two"]
    program.gate.clear()
    send(chat, "Count")
    until(lambda: bool(program.kept.saves), "the beginning was saved")
    expect(answer(chat).locator(".prose")).to_contain_text("One")
    chat.goto("about:blank")
    until(lambda: program.kept.saves[-1]["state"] == "stopped", "the end was saved")
    assert program.kept.only_chat()["messages"][1]["content"] == "One "


def test_what_could_not_be_saved_is_told_and_saved_later(chat: Page, program: FakeProgram) -> None:
    program.kept.refusal = (507, "the disk is full")
    send(chat, "One")
    expect_state(chat, "done")
    expect(chat.locator("#chats-note")).to_contain_text("could not be saved: the disk is full")
    assert program.kept.chats == {}
    program.kept.refusal = None
    send(chat, "Two")
    until(lambda: len(program.kept.chats) == 1 and len(program.kept.only_chat()["messages"]) == 4, "all was saved")
    expect(chat.locator("#chats-note")).to_be_hidden()
    assert [message["content"] for message in program.kept.only_chat()["messages"]][::2] == ["One", "Two"]


def test_without_history_chats_stay_in_the_tab(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.info["history"] = {"enabled": False, "why": "Started with --no-history.", "path": None}
    program.kept.refusal = (403, "history is off")
    page.goto(server.address)
    expect(page.locator("#chats-note")).to_contain_text("gone when this tab is closed. Started with --no-history.")
    send(page, "First")
    expect_state(page, "done")
    new_chat(page)
    send(page, "Second")
    expect_state(page, "done")
    expect(page.locator(".chat-row")).to_have_count(2)
    open_chat(page, "First")
    expect(page.locator(".message-user")).to_have_text(re.compile("First"))
    with page.expect_download() as download:
        choose(page, "First", "Export as Markdown")
    assert DEFAULT_REPLY in download.value.path().read_text(encoding="utf-8")
    choose(page, "First", "Delete")
    page.locator("#toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".chat-row")).to_have_count(2)
    page.reload()
    expect(page.locator("#composer-input")).to_be_visible()
    expect(page.locator(".chat-row")).to_have_count(0)


def test_list_is_worked_by_keyboard(filled: Page) -> None:
    filled.keyboard.press("Control+k")
    expect(filled.locator("#chat-search")).to_be_focused()
    filled.keyboard.press("Tab")
    filled.keyboard.press("ArrowDown")
    expect(row_of(filled, "Lighthouses").locator(".chat-open")).to_be_focused()
    filled.keyboard.press("Enter")
    expect(answer(filled)).to_contain_text("Nobody any more.")
    row_of(filled, "Lighthouses").locator(".chat-more").focus()
    filled.keyboard.press("Enter")
    expect(filled.get_by_role("menuitem", name="Rename")).to_be_focused()
    filled.keyboard.press("End")
    expect(filled.get_by_role("menuitem", name="Delete")).to_be_focused()
    filled.keyboard.press("Escape")
    expect(row_of(filled, "Lighthouses").locator(".chat-more")).to_be_focused()
    filled.keyboard.press("Control+Shift+O")
    expect(filled.locator(".message")).to_have_count(0)


def test_a_menu_gives_the_focus_back_in_a_list_that_was_drawn_anew(filled: Page, program: FakeProgram) -> None:
    program.reply = ["One ", "two ", "three."]
    program.gate.clear()
    send(filled, "Count")
    expect_state(filled, "streaming")
    open_chat(filled, "Whales")
    expect(filled.locator(".chat-writing")).to_have_count(1)
    button = row_of(filled, "Lighthouses").locator(".chat-more")
    drawn_before = button.element_handle()
    button.focus()
    filled.keyboard.press("Enter")
    expect(filled.get_by_role("menuitem", name="Rename")).to_be_focused()
    program.gate.set()
    expect(filled.locator(".chat-writing")).to_have_count(0)
    assert drawn_before.evaluate("button => !button.isConnected")
    filled.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_list_lies_over_the_conversation_on_a_phone(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.kept.add_turns("Whales", "What do whales eat?", "Krill.")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(server.address)
    page.locator("#composer-input").wait_for()
    expect(page.locator("#sidebar")).to_be_hidden()
    page.locator("#open-sidebar").click()
    expect(page.locator("#close-sidebar")).to_be_focused()
    assert page.locator("#stage").evaluate("stage => stage.inert") is True
    page.keyboard.press("Escape")
    expect(page.locator("#open-sidebar")).to_be_focused()
    page.locator("#open-sidebar").click()
    open_chat(page, "Whales")
    expect(page.locator("#sidebar")).to_be_hidden()
    expect(answer(page)).to_contain_text("Krill.")
