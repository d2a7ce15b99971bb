"""``packer build demo``: the model that comes with packer answers about packer, and offers what to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support import program
from tests.support.browser import TIMEOUT_MS
from tests.web.page_driver import answer, expect_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def demo(runtime_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[program.Server]:
    path = tmp_path_factory.mktemp("demo") / "chat"
    done = program.packer("build", "demo", "-o", path)
    assert done.returncode == 0, done.stderr
    with program.Launcher(path, runtime_cache).serving() as server:
        yield server


def ask(demo: program.Server, question: str) -> str:
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 200}
    choice = demo.json("/v1/chat/completions", body)["choices"][0]
    assert choice["finish_reason"] == "stop"
    return str(choice["message"]["content"])


def test_it_knows_how_to_pack_a_model(demo: program.Server) -> None:
    assert "packer build" in ask(demo, "How do I pack my own model?")


def test_it_knows_that_nothing_leaves_the_machine(demo: program.Server) -> None:
    assert "127.0.0.1" in ask(demo, "Does anything leave my machine?")


def test_it_declines_what_it_can_not_know(demo: program.Server) -> None:
    assert "demonstration model" in ask(demo, "Who won the battle of Hastings?")


def test_the_page_greets_and_offers_three_questions(demo: program.Server, browser: Browser) -> None:
    """A click on one of the three buttons asks it."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto(demo.address)
    offered = demo.json("/api/info")["chat"]["starters"]
    assert len(offered) == 3
    expect(page.get_by_text("Welcome!").first).to_be_visible()
    for question in offered:
        expect(page.get_by_role("button", name=question)).to_be_visible()
    page.get_by_role("button", name=offered[0]).click()
    expect_state(page, "done")
    assert "packer build" in answer(page).inner_text()
    context.close()
