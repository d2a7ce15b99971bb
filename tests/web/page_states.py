"""The main states of the page, as people meet them: for the accessibility checks and the screenshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from tests.web.page_driver import answer, expect_state, open_dialog, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.web.fake_api import FakeProgram

REPLY = r"""Spring tides come **twice a month**, at new and at full moon, when sun and moon pull in one line.

| Port | Mean spring range | Mean neap range |
|:--|--:|--:|
| Saint-Malo | 10.7 m | 4.9 m |
| Hamburg | 3.8 m | 3.3 m |
| Gdynia | 0.1 m | 0.1 m |

The pull of each falls with the cube of its distance:

$$a \approx \frac{2\,G\,M\,r}{d^3}$$

so the sun's share is about $0.46$ of the moon's. In Python:

```python
def tidal_pull(mass_kg: float, distance_m: float) -> float:
    "Acceleration between centre and surface of the Earth."
    return 2 * G * mass_kg * EARTH_RADIUS_M / distance_m**3
```

1. Look up the port's constants.
2. Add the constituents up; `M2` comes first.

> The tide tables of your harbour know better than any formula.
"""
REASONING = "The question is about ranges, so a table helps. Then the reason, with the formula."


def fill(program: FakeProgram) -> None:
    """Give the program a greeting, chats of several ages, and an answer with everything in it."""
    program.info["title"] = "Harbour Help"
    program.info["chat"] |= {
        "greeting": "Welcome to the harbour office. What would you like to know?",
        "starters": ["When is high water today?", "What does a berth cost for a week?", "How do tides work?"],
    }
    kept = program.kept
    kept.add_turns("Berths for the winter", "Is there room?", "There is.", updated_at="2026-01-02T09:00:00.000Z")
    kept.add_turns("Sailing to Gotland", "Which route?", "By Öland.", folder="Voyages")
    kept.add_turns("Papers for the Kiel Canal", "Which papers?", "None for small boats.", folder="Voyages")
    kept.add_turns("Radio channels", "Which channel?", "Channel 11.", pinned=True)
    kept.add_turns("Letter to the lock keeper", "Please write it.", "Dear lock keeper …")
    program.deltas = [{"reasoning_content": REASONING}]
    program.reply = [REPLY]


def welcome(_: Page, __: FakeProgram) -> None:
    """An empty chat."""


def chat(page: Page, _: FakeProgram) -> None:
    """A chat with a table, a formula and code."""
    send(page, "Why are some tides higher than others?")
    expect_state(page, "done")
    expect(answer(page).locator(".code[data-coloured=yes]")).to_have_count(1)
    expect(answer(page).locator(".formula:not(:has(.katex))")).to_have_count(0)
    expect(page.locator("#messages .katex").first).to_be_visible()


def branches(page: Page, program: FakeProgram) -> None:
    """A second version of an answer, files for the next message."""
    program.reply = ["Twice a month, at new and at full moon."]
    send(page, "How often are spring tides?")
    expect_state(page, "done")
    program.reply = ["Every **fourteen or fifteen days**: at new moon and at full moon."]
    answer(page).get_by_role("button", name="Write again").click()
    expect(answer(page).locator(".versions-count")).to_have_text("2/2")
    expect_state(page, "done")
    page.locator("#attach-input").set_input_files(
        [{"name": "tides.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2\n"}]
    )
    expect(page.locator("#attachments .attachment")).to_have_count(1)
    page.locator("#composer-input").fill("Compare that with this table")


def failed(page: Page, program: FakeProgram) -> None:
    """An answer that failed."""
    program.failures = [(503, "8 requests are waiting already; try again in a few seconds", "queue_full")]
    send(page, "Why are some tides higher than others?")
    expect_state(page, "failed")


def editing(page: Page, program: FakeProgram) -> None:
    """A question that is being edited."""
    program.reply = ["Twice a month."]
    send(page, "How often are spring tides?")
    expect_state(page, "done")
    page.locator(".message-user").hover()
    page.locator(".message-user").get_by_role("button", name="Edit").click()


def chats(page: Page, _: FakeProgram) -> None:
    """The list of chats with the menu of one of them."""
    if not page.locator("#sidebar").is_visible():
        page.locator("#open-sidebar").click()
    row = page.locator(".chat-row").nth(1)
    row.hover()
    row.locator(".chat-more").click()
    expect(page.locator(".menu")).to_be_visible()


def settings(page: Page, program: FakeProgram) -> None:
    """The settings of the answers, one of them locked."""
    program.info["locked"] = ["chat.system_prompt"]
    page.reload()
    page.locator("#composer-input").wait_for()
    open_dialog(page, "settings")


def appearance(page: Page, _: FakeProgram) -> None:
    """The settings of the page."""
    open_dialog(page, "settings")
    page.locator("#tab-look").click()


def machine(page: Page, _: FakeProgram) -> None:
    """What runs here."""
    open_dialog(page, "machine")


def code(page: Page, _: FakeProgram) -> None:
    """How to use the program from code."""
    dialog = open_dialog(page, "code")
    dialog.get_by_role("tab", name="Python").click()
    expect(dialog.locator(".code[data-coloured=yes]")).to_have_count(1)


def loading(page: Page, program: FakeProgram) -> None:
    """The model is being loaded."""
    program.health = {"status": "loading", "stage": "loading model", "progress": 0.42}
    page.reload()
    expect(page.locator("#startup-hint")).to_have_text("42 %")


STATES: dict[str, Callable[[Page, FakeProgram], Any]] = {
    state.__name__: state
    for state in (welcome, chat, branches, failed, editing, chats, settings, appearance, machine, code, loading)
}
