"""The page in a real browser: its language, theme and text size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.browser import TIMEOUT_MS
from tests.web.page_driver import expect_state, send, until
from tests.web.test_locales import LOCALES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.web.conftest import Watch
    from tests.web.fake_api import FakeProgram, FakeServer

FITS = "() => document.documentElement.scrollWidth <= innerWidth"


@pytest.fixture
def french(browser: Browser, watch: Watch, server: FakeServer) -> Iterator[Page]:
    """The page in a browser that asks for French, then German."""
    context = browser.new_context(locale="fr-CA")
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    watch.attach(page)
    page.goto(server.address)
    page.locator("#composer-input").wait_for()
    yield page
    context.close()


def test_language_comes_from_the_browser(french: Page) -> None:
    expect(french.locator("html")).to_have_attribute("lang", "fr")
    expect(french.locator("#composer-input")).to_have_attribute("placeholder", LOCALES["fr"]["composer.placeholder"])
    expect(french.locator("#open-settings")).to_have_text(LOCALES["fr"]["settings.open"])


def test_language_can_be_changed_at_once_and_is_remembered(chat: Page, program: FakeProgram) -> None:
    send(chat, "Hello")
    expect_state(chat, "done")
    chat.locator("#open-settings").click()
    chat.locator("#tab-look").click()
    for code in ("zh", "es", "ja", "fr", "de"):
        chat.locator("#language").select_option(code)
        expect(chat.locator("#settings-title")).to_have_text(LOCALES[code]["settings.title"])
        expect(chat.locator("#new-chat")).to_have_text(LOCALES[code]["chats.new"])
        expect(chat.locator(".message-assistant .action-copy")).to_have_attribute(
            "aria-label", LOCALES[code]["copy.message"]
        )
        assert chat.evaluate(FITS) is True
    chat.reload()
    expect(chat.locator("#composer-input")).to_have_attribute("placeholder", LOCALES["de"]["composer.placeholder"])
    expect(chat.locator("html")).to_have_attribute("lang", "de")
    until(lambda: program.kept.preferences.get("language") == "de", "the language was saved")


def test_another_browser_knows_language_theme_and_size(chat: Page, server: FakeServer, program: FakeProgram) -> None:
    program.kept.preferences = {"language": "ja", "theme": "dark", "size": "large"}
    chat.goto(server.address)
    expect(chat.locator("html")).to_have_attribute("lang", "ja")
    expect(chat.locator("html")).to_have_attribute("data-theme", "dark")
    expect(chat.locator("html")).to_have_attribute("data-size", "large")


def test_theme_and_size_hold_at_once_and_from_the_first_frame_on(chat: Page, program: FakeProgram) -> None:
    brightness = "() => getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)[0]"
    size_px = "() => parseFloat(getComputedStyle(document.documentElement).fontSize)"
    chat.emulate_media(color_scheme="light")
    before_px = chat.evaluate(size_px)
    chat.locator("#open-settings").click()
    chat.locator("#tab-look").click()
    chat.get_by_label("Dark").check()
    chat.get_by_label("Very large").check()
    assert chat.evaluate(brightness) < 50
    assert chat.evaluate(size_px) > before_px * 1.3
    expect(chat.locator("#open-settings")).to_have_count(1)
    # Whatever the program answers, and whenever: the page begins as it ended.
    chat.route("**/api/**", lambda route: route.abort())
    chat.route("**/health", lambda route: route.abort())
    chat.reload()
    assert chat.evaluate(brightness) < 50
    until(lambda: program.kept.preferences == {"theme": "dark", "size": "huge"}, "theme and size were saved")
