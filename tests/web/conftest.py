"""The page with a fake API behind it, watched in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.browser import TIMEOUT_MS, Watch
from tests.web.fake_api import FakeProgram, FakeServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page


@pytest.fixture
def program() -> FakeProgram:
    """What the fake API answers; change it at will."""
    return FakeProgram()


@pytest.fixture
def server(program: FakeProgram) -> Iterator[FakeServer]:
    """The page and the fake API on a loopback port."""
    with FakeServer(program) as running:
        yield running


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails the test afterwards if a page reached outside this machine, threw, or broke its own policy."""
    watching = Watch()
    yield watching
    assert watching.addresses != []
    assert watching.foreign() == []
    assert watching.errors == []


@pytest.fixture
def page(browser: Browser, watch: Watch) -> Iterator[Page]:
    """An empty, watched page of desktop size."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    watch.attach(page)
    yield page
    context.close()


@pytest.fixture
def chat(page: Page, server: FakeServer) -> Page:
    """The page, loaded and ready to write in."""
    page.goto(server.address)
    page.locator("#composer-input").wait_for()
    return page
