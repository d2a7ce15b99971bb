"""The page in a real browser: the programs of "use from code" do what they say, as they stand there."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.web.fake_api import DEFAULT_REPLY
from tests.web.page_driver import open_dialog

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.web.fake_api import FakeProgram, FakeServer


def snippet(page: Page, name: str) -> str:
    """Return what the copy button of one snippet gives."""
    dialog = open_dialog(page, "code")
    dialog.get_by_role("tab", name=name).click()
    dialog.get_by_role("button", name="Copy code").click()
    page.locator("#code .action[data-copied=true]").wait_for()
    page.get_by_role("button", name="Close").click()
    return str(page.evaluate("() => navigator.clipboard.readText()"))


def check_request(program: FakeProgram) -> None:
    (request,) = program.chats
    assert request["messages"] == [{"role": "user", "content": "Say hello."}]
    assert request["model"] == 'Harbour "7B" & more'


def test_python_snippet_runs(page: Page, server: FakeServer, program: FakeProgram, tmp_path: Path) -> None:
    program.info["model"]["name"] = 'Harbour "7B" & more'
    page.goto(server.address)
    script = tmp_path / "hello.py"
    script.write_text(snippet(page, "Python"), encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == DEFAULT_REPLY
    check_request(program)


def test_curl_snippet_runs(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.info["model"]["name"] = 'Harbour "7B" & more'
    page.goto(server.address)
    done = subprocess.run(["sh", "-c", snippet(page, "curl")], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert DEFAULT_REPLY in done.stdout
    check_request(program)


def test_javascript_snippet_runs(page: Page, server: FakeServer, program: FakeProgram) -> None:
    program.info["model"]["name"] = 'Harbour "7B" & more'
    page.goto(server.address)
    code = snippet(page, "JavaScript")
    printed = page.evaluate(
        "async () => { const lines = []; const console = {log: line => lines.push(line)};\n"
        + code
        + "\nreturn lines; }"
    )
    assert printed == [DEFAULT_REPLY]
    check_request(program)
