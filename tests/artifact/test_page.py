"""The chat page of a packed file in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import program
from tests.web.conftest import TIMEOUT_MS, Watch
from tests.web.conftest import browser as browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

DESKTOP, PHONE = (1280, 800), (390, 844)


@pytest.fixture(scope="module")
def server(packed: Path, runtime_cache: Path) -> Iterator[program.Server]:
    with program.Launcher(packed, runtime_cache).serving("--temperature", "0", "--max-tokens", "40") as running:
        yield running


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, server: program.Server) -> Iterator[Page]:
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
    box = page.get_by_role("textbox").first
    box.wait_for()
    assert "Tiny" in page.title()
    box.fill("Hello there")
    box.press("Enter")
    page.get_by_text("Hello there").first.wait_for()
    page.get_by_text("tokens per second").or_(page.get_by_text("tokens/s")).or_(
        page.get_by_text("tok/s")
    ).first.wait_for()
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
