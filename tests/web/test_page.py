"""The page in a real browser: starting, chatting, failing, settings, ending."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.web.fake_api import DEFAULT_REPLY, FakeProgram, FakeServer

if TYPE_CHECKING:
    from tests.web.conftest import Watch

WORDS = [f"word{number} " for number in range(60)]
ENDED_TEXT = "The program has ended. You can close this tab."


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


# Starting


def test_shows_progress_until_the_model_is_loaded(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.health = {"status": "loading", "stage": "loading model", "progress": 0.42}
    page.goto(server.address)
    expect(page.locator("#startup-stage")).to_have_text("Loading model")
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


# Chatting


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
    expect(answer(chat).locator(".message-facts")).to_have_text(re.compile(r"^40 tokens, [\d.,]+ tokens/s$"))
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
        chat.get_by_role("button", name="Stop").click()
    else:
        chat.keyboard.press("Escape")
    expect_state(chat, "stopped")
    expect(answer(chat).locator(".notice")).to_have_text("Stopped.")
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
    expect(chat.get_by_role("button", name="Regenerate")).to_have_count(1)
    chat.get_by_role("button", name="Regenerate").click()
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


def test_new_chat_while_streaming_stops_and_starts_empty(chat: Page, program: FakeProgram) -> None:
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
    chat.get_by_role("button", name="Regenerate").click()
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


# Text


def test_copy_gives_the_text_as_it_came(chat: Page, program: FakeProgram) -> None:
    program.reply = ["See:\n\n```python\n", "print('<hi>')\n\nprint(2)\n", "```\n\nDone."]
    send(chat, "Code?")
    expect_state(chat, "done")
    expect(answer(chat).locator(".prose")).to_have_text(["See:", "Done."])
    expect(answer(chat).locator(".code-language")).to_have_text("python")
    assert answer(chat).locator("pre").text_content() == "print('<hi>')\n\nprint(2)"
    answer(chat).get_by_role("button", name="Copy code").click()
    expect(answer(chat).locator(".code-head .action")).to_have_text("Copied")
    assert chat.evaluate("() => navigator.clipboard.readText()") == "print('<hi>')\n\nprint(2)"
    answer(chat).get_by_role("button", name="Copy", exact=True).click()
    expect(answer(chat).locator(".message-actions .action").first).to_have_text("Copied")
    assert chat.evaluate("() => navigator.clipboard.readText()") == "".join(program.reply)


FENCES = {
    "split": ("a\n``", "`js\nx", "\ny\n`", "``\nb"),
    "one piece": ("a\n```js\nx\ny\n```\nb",),
    "letters": tuple("a\n```js\nx\ny\n```\nb"),
    "carriage returns": ("a\r\n```js\r\n", "x\ny\n```\r\nb"),
    "indented": ("a\n   ```js\n   x\n   y\n   ```\nb",),
    "longer": ("a\n````js\nx\ny\n`````\nb",),
}


def test_code_blocks_are_found_however_the_text_is_cut(chat: Page, program: FakeProgram) -> None:
    found = {}
    for name, pieces in FENCES.items():
        program.reply = list(pieces)
        ask_afresh(chat, "Code?")
        blocks = answer(chat).locator(".message-body > *")
        found[name] = blocks.evaluate_all(
            "nodes => nodes.map(node => [node.tagName, (node.querySelector('code') ?? node).textContent.trim()])"
        )
    assert found == {name: [["P", "a"], ["FIGURE", "x\ny"], ["P", "b"]] for name in FENCES}


def test_fence_that_never_closes_is_code_to_the_end(chat: Page, program: FakeProgram) -> None:
    program.reply = ["```\nlet a = `b`;\n", "``"]
    send(chat, "Code?")
    expect_state(chat, "done")
    assert answer(chat).locator("pre").text_content() == "let a = `b`;\n``"


HOSTILE = {
    "script": "<script>window.hacked = 1; alert(1)</script>",
    "image": "<img src=x onerror='window.hacked = 1'><img src='http://192.0.2.1/leak'>",
    "svg": "<svg onload='window.hacked = 1'><a xlink:href='javascript:window.hacked=1'>x</a></svg>",
    "links": "[press](javascript:window.hacked=1) <a href='javascript:window.hacked=1'>here</a>",
    "markdown image": "![leak](http://192.0.2.1/leak.png)",
    "frame and style": "<iframe srcdoc='<script>1</script>'></iframe><style>body{display:none}</style>",
    "closing tags": "</p></div></li></main><h1>Owned</h1><!--",
    "entities": "&lt;script&gt;&#x202e;&amp;",
    "in code": "```html\n</code></pre><script>window.hacked = 1</script>\n```",
    "in a language": '```"><img/src=x/onerror=window.hacked=1>\nx\n```',
    "direction overrides": "safe \u202egnp.exe\u202c \u2066\u2067x\u2069 \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "templates": "{{7*7}} ${7*7} <%= 7*7 %> __proto__ constructor",
    "nul and others": "a\x00b\x07c\x1b[31md\ufeff\u2028\u2029e",
    "stacked marks": "Z" + "\u0351\u0363\u036f" * 200,
    "long line": "x" * 200_000,
    "event stream": "data: [DONE]\n\ndata: {}\n\nevent: quit",
}


ALLOWED_TAGS = {"LI", "H2", "DIV", "P", "BUTTON", "SPAN", "FIGURE", "FIGCAPTION", "PRE", "CODE"}


def test_hostile_text_stays_text(chat: Page, program: FakeProgram, watch: Watch) -> None:
    for name, text in HOSTILE.items():
        program.reply = [text[start : start + 4096] for start in range(0, len(text), 4096)]
        ask_afresh(chat, text if len(text) < 2000 else "Go on")
        shown = answer(chat).locator(".message-body").evaluate("body => body.textContent")
        assert [line for line in text.split("\n") if line.strip("`") not in shown] == [], name
        tags = chat.locator("#messages").evaluate("list => [...list.querySelectorAll('*')].map(node => node.tagName)")
        assert set(tags) <= ALLOWED_TAGS, name
        assert chat.evaluate("() => 'hacked' in window") is False, name
        assert chat.evaluate("() => document.documentElement.scrollWidth <= innerWidth") is True, name
        assert chat.locator("#scroller").evaluate("box => box.scrollWidth <= box.clientWidth") is True, name
        assert watch.foreign() == [], name


def test_very_long_answer_in_many_pieces_arrives_whole(chat: Page, program: FakeProgram) -> None:
    program.reply = ["token " * 5 + ("\n" if number % 9 == 0 else "") for number in range(4000)]
    send(chat, "Write a book")
    expect_state(chat, "done")
    assert len(answer(chat).locator(".message-body").evaluate("body => body.textContent")) > 110_000


# Failing


def test_error_is_shown_in_the_conversation_and_retry_asks_again(chat: Page, program: FakeProgram) -> None:
    program.failures = [(503, "8 requests are waiting <b>already</b>; try again", "queue_full")]
    send(chat, "Hello")
    expect(answer(chat).locator(".notice-error p")).to_have_text("8 requests are waiting <b>already</b>; try again")
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


# Settings, machine, ending


def test_settings_are_sent_only_when_changed_and_survive_a_reload(chat: Page, program: FakeProgram) -> None:
    chat.get_by_role("button", name="Settings").click()
    expect(chat.locator("#system-prompt")).to_have_value("You help visitors.")
    expect(chat.locator("#temperature")).to_have_value("0.7")
    chat.locator("#system-prompt").fill("Answer in rhyme.")
    chat.locator("#temperature").fill("0.2")
    chat.locator("#max-tokens").fill("128")
    chat.get_by_role("button", name="Save").click()
    expect(chat.locator("#settings")).to_be_hidden()
    chat.reload()
    send(chat, "Hello")
    expect_state(chat, "done")
    request = program.chats[0]
    assert request["messages"][0] == {"role": "system", "content": "Answer in rhyme."}
    assert (request["temperature"], request["max_tokens"]) == (0.2, 128)
    chat.get_by_role("button", name="Settings").click()
    chat.get_by_role("button", name="Reset").click()
    chat.get_by_role("button", name="Save").click()
    chat.get_by_role("button", name="Regenerate").click()
    expect_state(chat, "done")
    assert set(program.chats[1]) == {"messages", "stream", "stream_options"}
    assert program.chats[1]["messages"] == [{"role": "user", "content": "Hello"}]


def test_emptied_system_prompt_switches_the_own_one_off(chat: Page, program: FakeProgram) -> None:
    chat.get_by_role("button", name="Settings").click()
    chat.locator("#system-prompt").fill("")
    chat.get_by_role("button", name="Save").click()
    send(chat, "Hello")
    expect_state(chat, "done")
    assert program.chats[0]["messages"][0] == {"role": "system", "content": ""}


@pytest.mark.parametrize(("field", "value"), [("temperature", "-1"), ("temperature", "5.5"), ("max-tokens", "1.5")])
def test_settings_out_of_range_are_not_saved(chat: Page, field: str, value: str) -> None:
    chat.get_by_role("button", name="Settings").click()
    chat.locator(f"#{field}").fill(value)
    chat.get_by_role("button", name="Save").click()
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
        has_note = page.locator(f"#{name}-note").inner_text() == "Locked by the packer."
        assert has_note is locked
    page.locator("#max-tokens").fill("5")
    page.get_by_role("button", name="Save").click()
    send(page, "Hello")
    expect_state(page, "done")
    assert set(program.chats[0]) == {"messages", "max_tokens", "stream", "stream_options"}
    assert program.chats[0]["messages"] == [{"role": "user", "content": "Hello"}]


def test_change_made_before_a_lock_is_forgotten(chat: Page, program: FakeProgram) -> None:
    chat.get_by_role("button", name="Settings").click()
    chat.locator("#system-prompt").fill("Answer in rhyme.")
    chat.locator("#max-tokens").fill("5")
    chat.get_by_role("button", name="Save").click()
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
        "Context": ["4,096 tokens", "set in the file"],
        "Address": ["http://127.0.0.1:8080", "answers on this machine only"],
        "Version": ["0.1.0"],
    }
    chat.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(chat.locator("#open-machine")).to_be_focused()


def test_facts_that_are_not_known_are_left_out(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.info |= {"model": None, "context": None, "device": None, "threads": None, "cpu_variant": "", "title": "T"}
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


# Shape


@pytest.mark.parametrize("width_px", [320, 375, 768, 1920])
def test_no_width_scrolls_sideways(page: Page, server: FakeServer, program: FakeProgram, width_px: int) -> None:
    page.set_viewport_size({"width": width_px, "height": 700})
    program.info["title"] = "A rather long title for a small telephone, and then some more of it"
    program.info["chat"]["starters"] = ["Why " * 20, "x" * 120]
    program.reply = ["Text " * 60, "\n\n```python\n", "print('" + "long " * 60 + "')\n", "```\n", "y" * 3000]
    page.goto(server.address)
    fits = (
        "() => [document.documentElement, document.querySelector('#scroller')]"
        ".every(box => box.scrollWidth <= box.clientWidth)"
    )
    page.locator(".starter").first.wait_for()
    assert page.evaluate(fits) is True
    program.failures = [(503, "e" * 500, None)]
    send(page, "z" * 400)
    expect_state(page, "failed")
    assert page.evaluate(fits) is True
    page.get_by_role("button", name="Retry").click()
    expect_state(page, "done")
    assert page.evaluate(fits) is True
    for name in ("Settings", "Machine"):
        page.get_by_role("button", name=name).click()
        dialog = page.locator("dialog[open]")
        assert dialog.evaluate("box => box.scrollWidth <= box.clientWidth && box.offsetWidth <= innerWidth") is True
        page.keyboard.press("Escape")
    right_px = page.locator("#send").evaluate("button => button.getBoundingClientRect().right")
    assert right_px <= width_px


def test_colours_follow_the_system(page: Page, server: FakeServer) -> None:
    brightness = "() => getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)[0]"
    page.emulate_media(color_scheme="light")
    page.goto(server.address)
    assert page.evaluate(brightness) > 200
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(brightness) < 50


def test_reduced_motion_is_respected(page: Page, server: FakeServer, program: FakeProgram) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(server.address)
    moving = page.evaluate(
        "() => [...document.querySelectorAll('*')].filter(node => ['', '::before', '::after'].some(part =>"
        " getComputedStyle(node, part || undefined).animationName !== 'none')).length"
    )
    assert moving == 0


def test_everything_is_reached_by_keyboard_and_focus_is_seen(chat: Page) -> None:
    send(chat, "Hello")
    expect_state(chat, "done")
    chat.locator("#composer-input").fill("draft")
    chat.locator(".skip-link").focus()
    reached = []
    for _ in range(12):
        chat.keyboard.press("Tab")
        name, outlined = chat.evaluate(
            "() => { const at = document.activeElement, frame = at.closest('.composer') ?? at; return"
            " [at.id || at.textContent.trim(),"
            " [at, frame].some(node => getComputedStyle(node).outlineStyle !== 'none')] }"
        )
        assert outlined, name
        reached.append(name)
        if name == "send":
            break
    expected = ["new-chat", "open-settings", "open-machine", "scroller", "Copy", "Copy", "Regenerate"]
    assert reached == [*expected, "composer-input", "send"]


def test_only_this_machine_is_asked(chat: Page, watch: Watch) -> None:
    send(chat, "Hello")
    expect_state(chat, "done")
    assert {address.split("/", 3)[2].split(":")[0] for address in watch.addresses} == {"127.0.0.1"}
    assert any(address.endswith("/v1/chat/completions") for address in watch.addresses)
