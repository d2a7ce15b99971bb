"""The page in a real browser: settings, locks, the machine panel, ending the program."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.web.fake_api import DEFAULT_REPLY, FakeProgram, FakeServer
from tests.web.page_driver import answer, expect_state, new_chat, open_chat, send

ENDED_TEXT = "The program has ended. You can close this tab."


def test_settings_are_sent_only_when_changed_and_survive_a_reload(chat: Page, program: FakeProgram) -> None:
    chat.get_by_role("button", name="Settings").click()
    expect(chat.locator("#system-prompt")).to_have_value("You help visitors.")
    expect(chat.locator("#temperature")).to_have_value("0.7")
    chat.locator("#system-prompt").fill("Answer in rhyme.")
    chat.locator("#temperature").fill("0.2")
    chat.locator("#max-tokens").fill("128")
    chat.get_by_role("button", name="Save", exact=True).click()
    expect(chat.locator("#settings")).to_be_hidden()
    chat.reload()
    send(chat, "Hello")
    expect_state(chat, "done")
    request = program.chats[0]
    assert request["messages"][0] == {"role": "system", "content": "Answer in rhyme."}
    assert (request["temperature"], request["max_tokens"]) == (0.2, 128)
    chat.get_by_role("button", name="Settings").click()
    chat.get_by_role("button", name="Reset", exact=True).click()
    chat.get_by_role("button", name="Save", exact=True).click()
    program.reply = ["Plainly, then."]
    chat.get_by_role("button", name="Write again").click()
    expect(answer(chat).locator(".prose")).to_have_text("Plainly, then.")
    assert set(program.chats[1]) == {"messages", "stream", "stream_options"}
    assert program.chats[1]["messages"] == [{"role": "user", "content": "Hello"}]


def test_emptied_system_prompt_switches_the_own_one_off(chat: Page, program: FakeProgram) -> None:
    chat.get_by_role("button", name="Settings").click()
    chat.locator("#system-prompt").fill("")
    chat.get_by_role("button", name="Save", exact=True).click()
    send(chat, "Hello")
    expect_state(chat, "done")
    assert program.chats[0]["messages"][0] == {"role": "system", "content": ""}


@pytest.mark.parametrize(("field", "value"), [("temperature", "-1"), ("temperature", "5.5"), ("max-tokens", "1.5")])
def test_settings_out_of_range_are_not_saved(chat: Page, field: str, value: str) -> None:
    chat.get_by_role("button", name="Settings").click()
    chat.locator(f"#{field}").fill(value)
    chat.get_by_role("button", name="Save", exact=True).click()
    expect(chat.locator("#settings")).to_be_visible()
    expect(chat.locator(f"#{field}-note")).to_contain_text("Expected")
    expect(chat.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")
    chat.keyboard.press("Escape")
    expect(chat.locator("#settings")).to_be_hidden()
    chat.get_by_role("button", name="Settings").click()
    expect(chat.locator(f"#{field}")).not_to_have_value(value)


def test_locked_settings_are_shown_but_cannot_be_changed(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.info["locked"] = ["chat.system_prompt", "sampling.temperature"]
    page.goto(server.address)
    page.get_by_role("button", name="Settings").click()
    for name, locked in {"system-prompt": True, "temperature": True, "max-tokens": False}.items():
        expect(page.locator(f"#{name}")).to_be_enabled(enabled=not locked)
        has_note = page.locator(f"#{name}-note").inner_text() == "Locked by whoever packed this file."
        assert has_note is locked
    page.locator("#max-tokens").fill("5")
    page.get_by_role("button", name="Save", exact=True).click()
    send(page, "Hello")
    expect_state(page, "done")
    assert set(program.chats[0]) == {"messages", "max_tokens", "stream", "stream_options"}
    assert program.chats[0]["messages"] == [{"role": "user", "content": "Hello"}]


def test_change_made_before_a_lock_is_forgotten(chat: Page, program: FakeProgram) -> None:
    chat.get_by_role("button", name="Settings").click()
    chat.locator("#system-prompt").fill("Answer in rhyme.")
    chat.locator("#max-tokens").fill("5")
    chat.get_by_role("button", name="Save", exact=True).click()
    program.info["locked"] = ["chat.system_prompt"]
    chat.reload()
    send(chat, "Hello")
    expect_state(chat, "done")
    assert program.chats[0]["messages"] == [{"role": "user", "content": "Hello"}]
    assert program.chats[0]["max_tokens"] == 5


def test_machine_panel_says_what_runs_and_why(chat: Page) -> None:
    chat.get_by_role("button", name="Machine").click()
    panel = chat.locator("#machine")
    expect(panel).to_contain_text("Nothing leaves this machine.")
    assert dict(
        panel.locator(".fact").evaluate_all(
            "rows => rows.map(row => [row.querySelector('dt').textContent,"
            " [...row.querySelectorAll('dd span')].map(part => part.textContent.replaceAll('\\u00a0', ' '))])"
        )
    ) == {
        "Model": ["Harbour 7B Instruct", "qwen2, Q4_K_M, 7.6 billion parameters, 4.4 GiB"],
        "Device": ["CPU", "no usable GPU was found"],
        "CPU variant": ["haswell"],
        "Threads": ["4", "4 physical cores usable"],
        "Memory": ["412 MiB", "and 4.4 GiB mapped from the file; 9 GiB available"],
        "Context": ["4,096 tokens", "set in the file"],
        "Chats": ["/home/someone/.local/share/packer/chats.db"],
        "Address": ["http://127.0.0.1:8080", "answers on this machine only"],
        "Version": ["0.1.0"],
    }
    chat.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(chat.locator("#open-machine")).to_be_focused()


def test_facts_that_are_not_known_are_left_out(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.info |= {"model": None, "context": None, "device": None, "threads": None, "cpu_variant": "", "title": "T"}
    program.info |= {"memory": None, "history": None}
    page.goto(server.address)
    page.get_by_role("button", name="Machine").click()
    expect(page.locator("#machine dt")).to_have_text(["Address", "Version"])


def test_quit_ends_the_program_and_says_so(chat: Page, program: FakeProgram) -> None:
    send(chat, "Hello")
    expect_state(chat, "done")
    chat.get_by_role("button", name="Machine").click()
    expect(chat.locator("#machine-title")).to_be_focused()
    assert program.quits == 0
    chat.get_by_role("button", name="Quit the program").click()
    expect(chat.locator("#ended")).to_have_text(ENDED_TEXT)
    expect(chat.locator("#ended")).to_be_visible()
    assert program.quits == 1
    expect(chat).to_have_title("Ended: Harbour Help")
    expect(chat.locator("#machine")).to_be_hidden()
    expect(chat.locator("#composer-input")).to_be_hidden()
    expect(answer(chat).locator(".prose")).to_have_text(DEFAULT_REPLY)


def test_what_is_left_after_quitting_on_a_phone(chat: Page) -> None:
    chat.set_viewport_size({"width": 375, "height": 740})
    chat.locator("#open-sidebar").click()
    chat.get_by_role("button", name="Machine").click()
    expect(chat.locator("#quit")).to_be_in_viewport(ratio=1)
    expect(chat.locator("#machine-close")).to_be_in_viewport(ratio=1)
    chat.locator("#quit").click()
    expect(chat.locator("#ended")).to_be_visible()
    expect(chat.locator("#stage")).not_to_have_attribute("inert", re.compile(""))
    expect(chat.get_by_role("button")).to_have_count(0)


def test_settings_can_be_saved_without_scrolling(chat: Page) -> None:
    chat.set_viewport_size({"width": 375, "height": 500})
    chat.locator("#open-sidebar").click()
    chat.locator("#open-settings").click()
    expect(chat.locator("#settings-save")).to_be_in_viewport(ratio=1)
    chat.locator("#system-prompt").fill("Be brief.")
    chat.locator("#settings-save").click()
    expect(chat.locator("#settings")).to_be_hidden()


def test_more_sampling_settings_are_sent(chat: Page, program: FakeProgram) -> None:
    chat.get_by_role("button", name="Settings").click()
    chat.get_by_text("More sampling settings").click()
    for name, value in {"top-p": "0.8", "top-k": "20", "min-p": "0.1", "repeat-penalty": "1.1", "seed": "7"}.items():
        chat.locator(f"#{name}").fill(value)
    chat.get_by_role("button", name="Save", exact=True).click()
    send(chat, "Hello")
    expect_state(chat, "done")
    request = program.chats[0]
    sent = {name: request[name] for name in ("top_p", "top_k", "min_p", "repeat_penalty", "seed")}
    assert sent == {"top_p": 0.8, "top_k": 20, "min_p": 0.1, "repeat_penalty": 1.1, "seed": 7}
    assert "temperature" not in request


def test_settings_belong_to_their_chat(chat: Page, program: FakeProgram) -> None:
    send(chat, "First")
    expect_state(chat, "done")
    new_chat(chat)
    chat.get_by_role("button", name="Settings").click()
    chat.locator("#temperature").fill("0.1")
    chat.get_by_role("button", name="Save", exact=True).click()
    send(chat, "Second")
    expect_state(chat, "done")
    open_chat(chat, "First")
    expect(chat.locator(".message-user")).to_contain_text("First")
    send(chat, "More")
    expect(chat.locator(".message")).to_have_count(4)
    expect_state(chat, "done")
    assert [request.get("temperature") for request in program.chats] == [None, 0.1, None]


def test_presets_are_saved_chosen_and_deleted(chat: Page, program: FakeProgram) -> None:
    chat.get_by_role("button", name="Settings").click()
    chat.locator("#system-prompt").fill("Answer as a pirate.")
    chat.locator("#temperature").fill("1.5")
    chat.get_by_role("button", name="Save as preset").click()
    chat.locator("#ask-input").fill("Pirate")
    chat.locator("#ask-ok").click()
    expect(chat.locator("#preset-note")).to_have_text("“Pirate” was saved.")
    chat.get_by_role("button", name="Cancel").click()
    (preset,) = program.kept.presets.values()
    assert (preset["name"], preset["system_prompt"]) == ("Pirate", "Answer as a pirate.")
    assert preset["sampling"] == {"temperature": 1.5, "top_k": 40, "top_p": 0.95}
    chat.reload()
    chat.get_by_role("button", name="Settings").click()
    expect(chat.locator("#system-prompt")).to_have_value("You help visitors.")
    chat.locator("#preset").select_option("Pirate")
    expect(chat.locator("#system-prompt")).to_have_value("Answer as a pirate.")
    chat.get_by_role("button", name="Save", exact=True).click()
    send(chat, "Hello")
    expect_state(chat, "done")
    assert program.chats[0]["messages"][0] == {"role": "system", "content": "Answer as a pirate."}
    assert program.chats[0]["temperature"] == 1.5
    chat.get_by_role("button", name="Settings").click()
    chat.locator("#preset").select_option("Pirate")
    chat.locator("#preset-delete").click()
    expect(chat.locator("#preset-note")).to_have_text("“Pirate” was deleted.")
    assert program.kept.presets == {}


def test_a_preset_does_not_touch_what_is_locked(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.kept.presets["p"] = {"id": "p", "name": "P", "system_prompt": "Be rude.", "sampling": {"temperature": 2}}
    program.info["locked"] = ["chat.system_prompt"]
    page.goto(server.address)
    page.get_by_role("button", name="Settings").click()
    page.locator("#preset").select_option("P")
    expect(page.locator("#temperature")).to_have_value("2")
    expect(page.locator("#system-prompt")).to_have_value("You help visitors.")
