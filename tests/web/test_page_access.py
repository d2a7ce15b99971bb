"""The page in a real browser: no serious accessibility violation in any main state, and no width that breaks it.

With ``--screenshots`` the states are also kept as pictures under ``docs/screenshots/``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.support.axe import serious_violations
from tests.support.browser import TIMEOUT_MS
from tests.web.page_driver import open_chat, open_dialog
from tests.web.page_states import STATES, fill

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.web.conftest import Watch
    from tests.web.fake_api import FakeProgram, FakeServer

PICTURES = Path(__file__).parent.parent.parent / "docs" / "screenshots"
DESKTOP, PHONE, SMALL = (1280, 800), (390, 844), (320, 640)
LOOKS: list[tuple[str, tuple[int, int], Literal["light", "dark"]]] = [
    ("desktop", DESKTOP, "light"),
    ("desktop-dark", DESKTOP, "dark"),
    ("phone", PHONE, "light"),
    ("small-dark", SMALL, "dark"),
]
KEPT = {
    "welcome-desktop", "chat-desktop", "chat-desktop-dark", "chat-phone", "chats-desktop", "chats-phone",
    "branches-desktop", "settings-desktop", "machine-desktop", "code-desktop-dark",
}  # fmt: skip
FITS = (
    "() => [document.documentElement, ...document.querySelectorAll('#scroller, dialog[open]')]"
    ".every(box => box.scrollWidth <= box.clientWidth)"
)


AT_400_PERCENT = (320, 256)


def test_at_four_hundred_percent_there_is_room_to_read_and_everything_can_be_reached(
    browser: Browser, watch: Watch, server: FakeServer, program: FakeProgram
) -> None:
    """1280 x 1024 pixels at 400 % are 320 x 256 (WCAG 2.2, 1.4.10), which is lower than any phone."""
    fill(program)
    width, height = AT_400_PERCENT
    page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
    page.set_default_timeout(TIMEOUT_MS)
    watch.attach(page)
    page.goto(server.address)
    page.locator("#composer-input").wait_for()
    assert page.locator("#scroller").bounding_box()["height"] > height / 2  # type: ignore[index]
    for name in ("code", "machine", "settings"):
        dialog = open_dialog(page, name)
        assert page.evaluate(FITS)
        dialog.locator(".dialog-actions button:visible").last.click()
    open_chat(page, "Berths for the winter")
    page.close()


NARROW = ("chat", "branches", "chats", "settings")
"""The states in which a very small screen is tried as well."""
CASES = [(look, state) for look in LOOKS for state in STATES if look[1] is not SMALL or state in NARROW]


@pytest.mark.parametrize(("look", "state"), CASES, ids=[f"{state}-{look[0]}" for look, state in CASES])
def test_state_is_accessible_and_fits(
    browser: Browser,
    watch: Watch,
    server: FakeServer,
    program: FakeProgram,
    pytestconfig: pytest.Config,
    look: tuple[str, tuple[int, int], Literal["light", "dark"]],
    state: str,
) -> None:
    name, (width, height), scheme = look
    fill(program)
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", device_scale_factor=1
    )
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    watch.attach(page)
    page.goto(server.address)
    page.locator("#composer-input").wait_for()
    STATES[state](page, program)
    if pytestconfig.getoption("screenshots") and f"{state}-{name}" in KEPT:
        PICTURES.mkdir(exist_ok=True)
        page.wait_for_timeout(500)
        page.screenshot(path=PICTURES / f"{state}-{name}.png")
    assert serious_violations(page) == []
    assert page.evaluate(FITS) is True
    context.close()
