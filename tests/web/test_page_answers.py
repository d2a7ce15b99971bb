"""The page in a real browser: reasoning, calls of tools, attached files, the context meter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import FilePayload, expect

from tests.web.page_driver import answer, expect_state, new_chat, send, wait_until_saved

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.web.fake_api import FakeProgram, FakeServer

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def text_file(name: str, content: str, media_type: str = "text/plain") -> FilePayload:
    return {"name": name, "mimeType": media_type, "buffer": content.encode()}


def test_reasoning_is_folded_away_and_can_be_read(chat: Page, program: FakeProgram) -> None:
    program.deltas = [{"reasoning_content": "First **weigh**"}, {"reasoning_content": " the <b>anchor</b>."}]
    program.pause_s = 0.05
    program.reply = ["Aye.", " Aye."]
    program.gate.clear()
    send(chat, "Ready?")
    expect(answer(chat).locator(".prose").last).to_have_text("Aye.")
    reasoning = answer(chat).locator(".reasoning")
    expect(reasoning.locator(".reasoning-body")).to_be_hidden()
    expect(reasoning.locator("summary")).to_have_text(re.compile(r"Thought for [\d.]+\ss"))
    program.gate.set()
    expect_state(chat, "done")
    reasoning.locator("summary").click()
    expect(reasoning.locator(".reasoning-body")).to_have_text("First weigh the <b>anchor</b>.")
    expect(reasoning.locator("strong")).to_have_text("weigh")
    # What was thought is not said again to the model.
    program.deltas = []
    send(chat, "Go")
    expect(chat.locator(".message")).to_have_count(4)
    expect_state(chat, "done")
    assert program.chats[1]["messages"][1] == {"role": "assistant", "content": "Aye. Aye."}
    wait_until_saved(chat)
    assert program.kept.only_chat()["messages"][1]["reasoning"] == "First **weigh** the <b>anchor</b>."
    chat.reload()
    expect(chat.locator(".reasoning summary")).to_have_text(re.compile(r"Thought for [\d.]+\ss"))


def test_calls_of_tools_are_shown_with_their_arguments(chat: Page, program: FakeProgram) -> None:
    name = {"index": 0, "id": "c1", "type": "function", "function": {"name": "tide", "arguments": '{"port":'}}
    program.deltas = [
        {"tool_calls": [name]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"<i>Kiel</i>"}'}}]},
    ]
    program.reply = []
    program.finish_reason = "tool_calls"
    send(chat, "Tide?")
    expect_state(chat, "done")
    call = answer(chat).locator(".tool-call")
    expect(call.locator(".tool-name")).to_have_text("Asked the tool tide")
    call.locator("summary").click()
    expect(call.locator("pre")).to_have_text('{\n  "port": "<i>Kiel</i>"\n}')
    expect(answer(chat).locator(".notice")).to_have_count(0)


def test_answers_of_tools_in_a_kept_chat_are_shown_and_sent(
    page: Page, server: FakeServer, program: FakeProgram
) -> None:
    kept = program.kept.add_chat("Tides")
    call = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": "{}"}}
    program.kept.add_message(kept, role="user", content="Tide?")
    program.kept.add_message(kept, role="assistant", content="", tool_calls=[call])
    program.kept.add_message(kept, role="tool", content="high", tool_call_id="c1")
    program.kept.add_message(kept, role="assistant", content="It is high.")
    page.goto(f"{server.address}/#chat={kept['id']}")
    expect(page.locator(".message-tool .tool-name")).to_have_text("Answer of the tool")
    send(page, "Thanks")
    expect_state(page, "done")
    sent = program.chats[0]["messages"]
    assert sent[1] == {"role": "assistant", "content": "", "tool_calls": [call]}
    assert sent[2] == {"role": "tool", "content": "high", "tool_call_id": "c1"}


def test_files_are_attached_removed_and_sent_with_the_message(chat: Page, program: FakeProgram) -> None:
    files = [text_file("notes.txt", "low water at noon"), text_file("a.py", "print('```')", "text/x-python")]
    chat.locator("#attach-input").set_input_files(files)
    chips = chat.locator("#attachments .attachment")
    expect(chips.locator(".attachment-name")).to_have_text(["notes.txt", "a.py"])
    chat.get_by_role("button", name="Remove notes.txt").click()
    expect(chips).to_have_count(1)
    expect(chat.get_by_role("button", name="Send")).to_be_enabled()
    send(chat, "What does it print?")
    expect_state(chat, "done")
    expect(chips).to_have_count(0)
    expect(chat.locator(".message-user .attachment-name")).to_have_text("a.py")
    expected = "File \"a.py\":\n````\nprint('```')\n````\n\nWhat does it print?"
    assert program.chats[0]["messages"] == [{"role": "user", "content": expected}]
    wait_until_saved(chat)
    (kept,) = program.kept.only_chat()["messages"][0]["attachments"]
    assert (kept["name"], kept["text"]) == ("a.py", "print('```')")
    chat.reload()
    expect(chat.locator(".message-user .attachment-name")).to_have_text("a.py")


def test_message_waits_for_the_files_that_are_still_read(chat: Page, program: FakeProgram) -> None:
    program.gate.clear()
    chat.locator("#attach-input").set_input_files([text_file("slow.txt", "low water at noon")])
    expect(chat.locator("#attachments .attachment-note")).to_have_text("Reading …")
    send(chat, "When?")
    expect(chat.locator("#composer-input")).to_have_value("When?")
    assert program.chats == []
    program.gate.set()
    expect_state(chat, "done")
    assert "low water at noon" in program.chats[0]["messages"][0]["content"]


def test_file_alone_can_be_sent_and_names_the_chat(chat: Page, program: FakeProgram) -> None:
    chat.locator("#attach-input").set_input_files([text_file("log.txt", "all well")])
    expect(chat.get_by_role("button", name="Send")).to_be_enabled()
    send(chat, "")
    expect_state(chat, "done")
    expect(chat.locator("h1")).to_have_text("log.txt")


def test_files_that_cannot_be_attached_say_why(chat: Page, program: FakeProgram) -> None:
    problem = chat.locator("#attach-problem")
    chat.locator("#attach-input").set_input_files([{"name": "p.png", "mimeType": "image/png", "buffer": PIXEL}])
    expect(problem).to_have_text("Images can't be attached: the packed model reads no images")
    chat.locator("#attach-input").set_input_files([text_file("big.txt", "x" * (2 << 20))])
    expect(problem).to_have_text("big.txt has 2 MiB; at most 1 MiB can be attached.")
    chat.locator("#attach-input").set_input_files([text_file("broken.pdf", "no", "application/pdf")])
    expect(problem).to_contain_text("broken.pdf was not attached: expected a PDF")
    expect(chat.locator("#attachments .attachment")).to_have_count(0)
    assert program.uploads == ["broken.pdf"]


def test_each_file_that_cannot_be_attached_is_told_until_the_next_message(chat: Page) -> None:
    problem = chat.locator("#attach-problem")
    picture = {"name": "p.png", "mimeType": "image/png", "buffer": PIXEL}
    chat.locator("#attach-input").set_input_files([picture, text_file("broken.pdf", "no", "application/pdf")])
    expect(problem.locator("span")).to_have_count(2)
    expect(problem.locator("span").first).to_contain_text("reads no images")
    expect(problem.locator("span").last).to_contain_text("broken.pdf was not attached")
    send(chat, "Never mind")
    expect_state(chat, "done")
    expect(problem).to_be_hidden()


def test_images_go_to_a_model_that_sees(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.info["attachments"] |= {"images": True, "why": "the model sees pictures"}
    page.goto(server.address)
    page.locator("#attach-input").set_input_files([{"name": "p.png", "mimeType": "image/png", "buffer": PIXEL}])
    expect(page.locator("#attachments img")).to_have_attribute("alt", "p.png")
    send(page, "What is this?")
    expect_state(page, "done")
    image, text = program.chats[0]["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert text == {"type": "text", "text": "What is this?"}


def test_files_can_be_dropped_and_pasted(chat: Page, program: FakeProgram) -> None:
    give = (
        "([selector, kind, name]) => { const data = new DataTransfer(); data.items.add(new File(['x'], name));"
        " const init = {bubbles: true, cancelable: true};"
        " document.querySelector(selector).dispatchEvent(kind === 'paste'"
        " ? new ClipboardEvent(kind, {...init, clipboardData: data})"
        " : new DragEvent(kind, {...init, dataTransfer: data})) }"
    )
    chat.evaluate(give, ["#stage", "drop", "dropped.txt"])
    chat.evaluate(give, ["#composer-input", "paste", "pasted.txt"])
    expect(chat.locator("#attachments .attachment-name")).to_have_text(["dropped.txt", "pasted.txt"])
    expect(chat.locator("#attachments .attachment-note")).to_have_text(["1 B", "1 B"])
    assert sorted(program.uploads) == ["dropped.txt", "pasted.txt"]


@pytest.mark.parametrize("known", [True, False])
def test_context_meter_fills_with_the_chat(page: Page, server: FakeServer, program: FakeProgram, known: bool) -> None:
    if not known:
        program.info["context"] = None
    page.goto(server.address)
    page.locator("#composer-input").wait_for()
    expect(page.locator("#context-meter")).to_be_hidden()
    send(page, "Hello")
    expect_state(page, "done")
    expect(page.locator("#context-meter")).to_be_visible(visible=known)
    if known:
        expect(page.locator("#context-text")).to_have_text("52 of 4,096 tokens")
        new_chat(page)
        expect(page.locator("#context-meter")).to_be_hidden()
