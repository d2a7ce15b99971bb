"""The chat page of a packed file in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support import program
from tests.support.browser import TIMEOUT_MS, Watch
from tests.web.page_driver import answer, expect_state, send

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

DESKTOP, PHONE = (1280, 800), (390, 844)


@pytest.fixture(scope="module")
def server(packed: Path, runtime_cache: Path) -> Iterator[program.Server]:
    launcher = program.Launcher(packed, runtime_cache)
    with launcher.serving("--temperature", "0", "--max-tokens", "40") as running:
        yield running


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, server: program.Server) -> Iterator[Page]:
    """The page of the packed file; afterwards it must not have asked anyone else nor complained."""
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(TIMEOUT_MS)
    watch = Watch()
    made = context.new_page()
    watch.attach(made)
    made.goto(server.address)
    yield made
    context.close()
    assert watch.foreign() == []
    assert watch.errors == []


def test_a_question_is_answered_in_the_page(page: Page) -> None:
    page.locator("#composer-input").wait_for()
    expect(page).to_have_title("Tiny")
    send(page, "Hello there")
    expect_state(page, "done")
    assert answer(page).inner_text()
    expect(page.get_by_text("Hello there").first).to_be_visible()
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0


def test_the_machine_panel_tells_the_truth(page: Page, server: program.Server) -> None:
    page.locator("#composer-input").wait_for()
    page.get_by_role("button", name="Machine").click()
    panel = page.get_by_role("dialog")
    facts = server.json("/api/info")
    for fact in (facts["cpu_variant"].split()[0], facts["address"], "Nothing leaves this machine"):
        expect(panel.get_by_text(fact).first).to_be_visible()
