"""The chat page of a packed file in a real browser: its own program, its own store, and nobody else."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

import pytest
from playwright.sync_api import expect

from tests.support import program
from tests.support.axe import serious_violations
from tests.support.browser import TIMEOUT_MS, Watch
from tests.support.pdf_files import pdf_with_text
from tests.web.page_driver import answer, expect_state, new_chat, open_chat, open_dialog, row_of, send, wait_until_saved
from tests.web.page_states import REPLY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Response

Look = tuple[tuple[int, int], Literal["light", "dark"]]
DESKTOP, PHONE = (1280, 800), (390, 844)
LOOKS: list[Look] = [(size, scheme) for size in (DESKTOP, PHONE) for scheme in ("light", "dark")]  # type: ignore[misc]
OPTIONS = ("--temperature", "0", "--max-tokens", "40")
FITS = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
LAST_WORDS = 40
"""Letters at the end of an answer that may look otherwise when more follow: half a table or the like."""


@pytest.fixture(scope="module")
def server(packed: Path, runtime_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[program.Server]:
    launcher = program.Launcher(packed, runtime_cache)
    environment = launcher.environment(PACKER_DATA_DIR=str(tmp_path_factory.mktemp("chats")))
    with launcher.serving(*OPTIONS, env=environment) as running:
        yield running


def watched(browser: Browser, look: Look, watch: Watch) -> Page:
    (width, height), scheme = look
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", locale="en"
    )
    context.set_default_timeout(TIMEOUT_MS)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    made = context.new_page()
    watch.attach(made)
    return made


@pytest.fixture(params=LOOKS, ids=["desktop-light", "desktop-dark", "phone-light", "phone-dark"])
def page(request: pytest.FixtureRequest, browser: Browser, server: program.Server) -> Iterator[Page]:
    """The page of the packed file; afterwards it must not have asked anyone else nor complained."""
    watch = Watch()
    made = watched(browser, request.param, watch)
    made.goto(server.address)
    made.locator("#composer-input").wait_for()
    yield made
    made.context.close()
    assert len(watch.addresses) > 20
    assert watch.foreign() == []
    assert watch.errors == []


def add_chat(server: program.Server, title: str, *texts: str) -> None:
    """Keep a chat in which user and assistant take turns."""
    chat: Any = server.json("/api/chats", {"title": title})
    parent = None
    for index, text in enumerate(texts):
        message = {"role": "assistant" if index % 2 else "user", "content": text, "parent_id": parent}
        parent = server.json(f"/api/chats/{chat['id']}/messages", message)["id"]


def is_change_of_a_chat(response: Response) -> bool:
    """Tell whether it was saved where the open chat ends now."""
    return response.request.method == "PATCH" and "/messages" not in response.url


def test_a_session_from_question_to_branches_and_back(page: Page, server: program.Server) -> None:
    expect(page).to_have_title("Tiny")
    send(page, "Hello there")
    expect_state(page, "done")
    first = answer(page).locator(".message-body").inner_text()
    assert first
    expect(answer(page).locator(".message-facts")).to_have_text(re.compile(r"^\d+ tokens? · .*first after"))
    expect(page.locator("#context-text")).to_contain_text("of ")
    assert serious_violations(page) == []
    answer(page).get_by_role("button", name="Continue").first.click()
    expect_state(page, "done")
    carried_on = answer(page).locator(".message-body").inner_text()
    assert carried_on.startswith(first[: len(first) // 2])
    answer(page).get_by_role("button", name="Write again").click()
    expect(answer(page).locator(".versions-count")).to_have_text("2/2")
    expect_state(page, "done")
    question = page.locator(".message-user")
    question.hover()
    question.get_by_role("button", name="Edit").click()
    page.locator(".editor-input").fill("Hello again")
    page.keyboard.press("Enter")
    expect(question.locator(".versions-count")).to_have_text("2/2")
    expect_state(page, "done")
    with page.expect_response(is_change_of_a_chat):
        question.get_by_role("button", name="Earlier version").click()
    expect(answer(page).locator(".versions-count")).to_have_text("2/2")
    with page.expect_response(is_change_of_a_chat):
        answer(page).get_by_role("button", name="Earlier version").click()
    expect(answer(page).locator(".message-body")).to_have_text(re.compile(re.escape(carried_on.split("\n")[0][:20])))
    assert page.evaluate(FITS) is True
    page.reload()
    expect(question).to_contain_text("Hello there")
    expect(answer(page).locator(".versions-count")).to_have_text("1/2")
    new_chat(page)


def test_markdown_code_and_formulas_come_out_of_the_file(page: Page, server: program.Server) -> None:
    title = f"Tides {time.time_ns()}"
    add_chat(server, title, "Why?", REPLY)
    page.reload()
    page.locator("#composer-input").wait_for()
    if not page.locator("#sidebar").is_visible():
        page.locator("#open-sidebar").click()
    page.locator("#chat-search").fill("Saint-Malo")
    expect(row_of(page, title).locator(".chat-snippet")).to_be_visible()
    open_chat(page, title)
    expect(answer(page).locator("table tr")).to_have_count(4)
    expect(answer(page).locator(".katex")).to_have_count(2)
    expect(answer(page).locator(".code[data-coloured=yes] .hl-keyword").first).to_be_visible()
    assert page.evaluate("() => document.fonts.ready.then(fonts => [...fonts].some(font => font.status === 'loaded'))")
    assert serious_violations(page) == []
    assert page.evaluate(FITS) is True


def test_the_machine_panel_tells_the_truth(page: Page, server: program.Server) -> None:
    panel = open_dialog(page, "machine")
    facts = server.json("/api/info")
    told = (facts["cpu_variant"].split()[0], facts["address"], facts["history"]["path"], "Nothing leaves this machine")
    for fact in told:
        expect(panel.get_by_text(fact).first).to_be_visible()
    expect(panel.get_by_text("mapped from the file")).to_be_visible()
    assert serious_violations(page) == []


def test_settings_presets_and_language_are_kept(page: Page, server: program.Server) -> None:
    dialog = open_dialog(page, "settings")
    dialog.locator("#max-tokens").fill("3")
    dialog.get_by_role("button", name="Save as preset").click()
    page.locator("#ask-input").fill("Short")
    page.locator("#ask-ok").click()
    expect(dialog.locator("#preset-note")).to_contain_text("“Short” was saved.")
    assert serious_violations(page) == []
    dialog.get_by_role("button", name="Save", exact=True).click()
    page.locator("#sidebar").press("Escape")
    new_chat(page)
    send(page, "Hello")
    expect_state(page, "done")
    expect(answer(page).locator(".message-facts")).to_have_text(re.compile(r"^3 tokens"))
    assert [preset["name"] for preset in server.json("/api/presets")["presets"]] == ["Short"]
    dialog = open_dialog(page, "settings")
    dialog.locator("#tab-look").click()
    dialog.locator("#language").select_option("de")
    expect(page.locator("#settings-title")).to_have_text("Einstellungen")
    page.reload()
    expect(page.locator("#composer-input")).to_have_attribute("placeholder", "Nachricht schreiben")
    dialog = open_dialog(page, "settings")
    dialog.locator("#tab-look").click()
    dialog.locator("#language").select_option("en")
    expect(page.locator("#settings-title")).to_have_text("Settings")
    dialog.locator("#tab-answers").click()
    dialog.get_by_role("button", name="Reset", exact=True).click()
    dialog.get_by_role("button", name="Save", exact=True).click()


@pytest.fixture
def plain_page(browser: Browser, server: program.Server) -> Iterator[Page]:
    """The page as a desktop browser shows it."""
    watch = Watch()
    made = watched(browser, (DESKTOP, "light"), watch)
    made.goto(server.address)
    made.locator("#composer-input").wait_for()
    yield made
    made.context.close()
    assert watch.foreign() == []
    assert watch.errors == []


def test_files_are_read_on_the_machine(plain_page: Page) -> None:
    pdf = pdf_with_text("The berth costs 12 crowns.")
    files = [
        {"name": "fees.pdf", "mimeType": "application/pdf", "buffer": pdf},
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"low water at noon"},
    ]
    plain_page.locator("#attach-input").set_input_files(files)  # type: ignore[arg-type]
    expect(plain_page.locator("#attachments .attachment-note").nth(1)).to_contain_text("17")
    image = {"name": "p.png", "mimeType": "image/png", "buffer": b"x"}
    plain_page.locator("#attach-input").set_input_files([image])  # type: ignore[list-item]
    expect(plain_page.locator("#attach-problem")).to_contain_text("Images can't be attached")
    with plain_page.expect_request("**/v1/chat/completions") as sent:
        send(plain_page, "What does it cost?")
    content = sent.value.post_data_json["messages"][-1]["content"]
    assert "The berth costs 12 crowns." in content
    assert "low water at noon" in content
    expect_state(plain_page, "done")


def test_second_browser_sees_the_same_and_exports_come_back(
    plain_page: Page, browser: Browser, server: program.Server, tmp_path: Path
) -> None:
    title = f"Shared {time.time_ns()}"
    send(plain_page, title)
    expect_state(plain_page, "done")
    wait_until_saved(plain_page)
    other = watched(browser, (DESKTOP, "dark"), Watch())
    other.goto(server.address)
    open_chat(other, title)
    expect(answer(other)).to_have_attribute("data-state", "done")
    shown = [answer(one).locator(".message-body").evaluate("body => body.textContent") for one in (plain_page, other)]
    assert shown[0] == shown[1]
    row_of(other, title).locator(".chat-more").click()
    with other.expect_download() as download:
        other.get_by_role("menuitem", name="Export as JSON").click()
    download.value.save_as(tmp_path / "chat.json")
    row_of(other, title).locator(".chat-more").click()
    other.get_by_role("menuitem", name="Delete").click()
    expect(row_of(other, title)).to_have_count(0)
    other.locator("#import-input").set_input_files(tmp_path / "chat.json")
    expect(other.locator("#toast")).to_have_text("1 chat imported.")
    expect(row_of(other, title)).to_have_count(1)
    other.context.close()


def test_snippets_work_with_the_real_address(plain_page: Page, tmp_path: Path) -> None:
    for name, command in {"curl": ["sh"], "Python": [sys.executable]}.items():
        dialog = open_dialog(plain_page, "code")
        dialog.get_by_role("tab", name=name).click()
        dialog.get_by_role("button", name="Copy code").click()
        plain_page.locator("#code .action[data-copied=true]").wait_for()
        script = tmp_path / name
        script.write_text(plain_page.evaluate("() => navigator.clipboard.readText()"), encoding="utf-8")
        done = subprocess.run([*command, script], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
        dialog.get_by_role("button", name="Close").click()


def num_kept(server: program.Server) -> int:
    """Letters of the reply in the only chat, as it is kept."""
    (chat,) = server.json("/api/chats")["chats"]
    return len(server.json(f"/api/chats/{chat['id']}")["messages"][-1]["content"])


def test_a_reply_outlives_a_kill(launch: program.Launcher, browser: Browser, tmp_path: Path) -> None:
    environment = launch.environment(PACKER_DATA_DIR=str(tmp_path / "data"))
    page = watched(browser, (DESKTOP, "light"), Watch())
    with launch.serving("--temperature", "0", env=environment) as first:
        page.goto(first.address)
        send(page, "Tell me everything")
        expect_state(page, "streaming")
        page.wait_for_function(
            "() => document.querySelector('.message-assistant .message-body').textContent.length > 200"
        )
        shown = answer(page).locator(".message-body").evaluate("body => body.textContent")
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while num_kept(first) < len(shown) - LAST_WORDS:
            assert time.monotonic() < deadline, "the reply is not kept while it grows"
            time.sleep(0.1)
        first.stop(signal.SIGKILL)
    with launch.serving(env=environment) as second:
        page.goto(second.address)
        open_chat(page, "Tell me everything")
        kept = answer(page).locator(".message-body")
        expect(kept).not_to_be_empty()
        assert kept.evaluate("body => body.textContent").startswith(shown[:-LAST_WORDS])
        expect(answer(page)).to_have_attribute("data-state", "stopped")
        expect(answer(page).get_by_role("button", name="Continue").first).to_be_visible()
    page.context.close()


def test_without_history_the_page_says_so(launch: program.Launcher, browser: Browser) -> None:
    page = watched(browser, (PHONE, "light"), Watch())
    with launch.serving("--no-history", *OPTIONS) as server:
        page.goto(server.address)
        send(page, "Hello")
        expect_state(page, "done")
        page.locator("#open-sidebar").click()
        expect(page.locator("#chats-note")).to_contain_text("gone when this tab is closed")
        expect(row_of(page, "Hello")).to_have_count(1)
        open_dialog(page, "machine").get_by_role("button", name="Quit the program").click()
        expect(page.locator("#ended-text")).to_be_visible()
        assert server.process.wait(30) == 0
    page.context.close()
