"""How fast the page is in a real browser: opening the list and chats, and drawing an answer as it streams in.

    .venv/bin/python -m tests.bench.page

The store is the tests' own, in memory and answering at once, so the figures are the page's. The list is timed from the
end of the typing in the search field to the last row, a chat from the click to its end on screen, both with two
animation frames behind them. An answer of 4,000 tokens is sent as fast as the connection takes it and then at 100
tokens a second; the longest time between two frames is taken, how many took more than 100 ms, and how much CPU time
the longest task took, which other programs on the machine do not change.
"""

from __future__ import annotations

import functools
import json
import shutil
import statistics
import sys
from typing import TYPE_CHECKING, TypeVar

from playwright.sync_api import sync_playwright

from tests.support.browser import BROWSER_NAMES, BROWSER_OPTIONS
from tests.web.fake_api import FakeProgram, FakeServer
from tests.web.page_states import REPLY

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

T = TypeVar("T")

NUM_CHATS, NUM_MESSAGES, NUM_TOKENS, ROUNDS = 200, 100, 4000, 11
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
OPEN_CHAT = """async ([id, title, count]) => {
  const frame = () => new Promise(requestAnimationFrame);
  const began = performance.now();
  document.querySelector(`[data-chat="${id}"]`).click();
  while (document.querySelector('#title').textContent !== title) await frame();
  await frame(); await frame();
  const seen = performance.now() - began;
  while (document.querySelectorAll('.message').length !== count) await frame();
  await frame(); await frame();
  return [seen, performance.now() - began];
}"""
OPEN_LIST = """async count => {
  const began = performance.now();
  const search = document.querySelector('#chat-search');
  search.value = search.value ? '' : 'chat';
  document.querySelector('#chat-list').replaceChildren();
  search.dispatchEvent(new Event('input'));
  while (document.querySelectorAll('.chat-row').length !== count) await new Promise(requestAnimationFrame);
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - began;
}"""
WATCH_FRAMES = """() => {
  window.frames_ms = []; window.watching = true; let last = performance.now();
  const next = now => {
    window.frames_ms.push(now - last); last = now; if (window.watching) requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}"""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def fill(program: FakeProgram) -> list[str]:
    """Keep the chats; returns their ids."""
    turns = [f"Question {index // 2} about tides" if index % 2 == 0 else REPLY for index in range(NUM_MESSAGES)]
    return [program.kept.add_turns(f"chat {number}", *turns)["id"] for number in range(NUM_CHATS)]


def longest_task_ms(page: Page, work: Callable[[], T]) -> tuple[T, float]:
    """Do ``work`` and return, with its result, the CPU time of the longest task of any thread of the page.

    Other programs on the machine make tasks last longer, but do not make them take more CPU time.
    """
    browser = page.context.browser
    assert browser is not None
    browser.start_tracing(page=page, categories=["toplevel"])
    result = work()
    events = json.loads(browser.stop_tracing())["traceEvents"]
    renderers = {event["pid"] for event in events if event.get("args", {}).get("name") == "Renderer"}
    return result, max(event.get("tdur", 0) for event in events if event["pid"] in renderers) / 1000


def frames(page: Page, program: FakeProgram, pause_s: float) -> list[float]:
    """Stream an answer and return the milliseconds between frames."""
    words = (REPLY * 40).split(" ")[:NUM_TOKENS]
    program.reply = [f"{word} " for word in words]
    program.pause_s = pause_s
    page.locator("#new-chat").click()
    page.evaluate(WATCH_FRAMES)
    page.locator("#composer-input").fill("Go")
    page.keyboard.press("Enter")
    page.locator(".message-assistant[data-state=done]").wait_for(timeout=120_000)
    page.evaluate(TWO_FRAMES)
    return list(page.evaluate("() => { window.watching = false; return window.frames_ms; }"))


def measure(page: Page, program: FakeProgram, ids: list[str]) -> None:
    lists_ms = [float(page.evaluate(OPEN_LIST, NUM_CHATS)) - 120 for _ in range(ROUNDS)]
    say(f"list of {NUM_CHATS} chats: {statistics.median(lists_ms):.0f} ms (without the pause after typing)")
    opened = [
        page.evaluate(OPEN_CHAT, [chat, f"chat {number}", NUM_MESSAGES]) for number, chat in enumerate(ids[:ROUNDS])
    ]
    seen_ms, whole_ms = (statistics.median(times) for times in zip(*opened, strict=True))
    say(f"chat of {NUM_MESSAGES} messages: its end {seen_ms:.0f} ms, all of it {whole_ms:.0f} ms")
    for pause_s in (0.0, 0.01):
        found, task_ms = longest_task_ms(page, functools.partial(frames, page, program, pause_s))
        slow = sum(frame > 100 for frame in found)
        speed = "at once" if pause_s == 0 else f"at {1 / pause_s:.0f} tokens/s"
        say(
            f"{NUM_TOKENS} tokens {speed}: {len(found)} frames, longest {max(found):.0f} ms, {slow} over 100 ms;"
            f" longest task {task_ms:.0f} ms of CPU time"
        )


def main() -> None:
    executable = next(filter(None, map(shutil.which, BROWSER_NAMES)), None)
    program = FakeProgram()
    ids = fill(program)
    with FakeServer(program) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=BROWSER_OPTIONS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(server.address)
        page.locator(".chat-row").last.wait_for()
        measure(page, program, ids)
        browser.close()


if __name__ == "__main__":
    main()
