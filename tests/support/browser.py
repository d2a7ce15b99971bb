"""The system's Chromium for tests of the page, and a watch over what a page does in it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page

BROWSER_NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 20_000
"""Generous, for machines that build something at the same time."""


@dataclass(kw_only=True)
class Watch:
    """What a page asked for and complained about."""

    addresses: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def attach(self, page: Page) -> None:
        """Listen to ``page``."""
        page.on("request", lambda request: self.addresses.append(request.url))
        page.on("websocket", lambda socket: self.addresses.append(socket.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(f"a dialog opened: {dialog.message}"))
        page.on("popup", lambda popup: self.errors.append(f"a window opened: {popup.url}"))
        page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        # The browser reports each status above 399 and each broken connection; tests provoke both.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def foreign(self) -> list[str]:
        """Return the addresses that are not on this machine."""
        return [address for address in self.addresses if urlsplit(address).hostname != "127.0.0.1"]


def launch_browser() -> Iterator[Browser]:
    """Start Chromium and yield it. Skips where there is none, but fails in CI."""
    executable = next(filter(None, map(shutil.which, BROWSER_NAMES)), None)
    if executable is None:
        problem = f"no browser found, looked for {', '.join(BROWSER_NAMES)}; on Debian: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=BROWSER_OPTIONS)
        yield running
        running.close()
