"""axe-core, the accessibility checker, run inside a page. It is fetched by pinned hash and never packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packer.toolchain.build_cache import default_build_cache
from packer.toolchain.web_libraries import TESTS, web_libraries

if TYPE_CHECKING:
    from playwright.sync_api import Page

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
SERIOUS = ("serious", "critical")


def serious_violations(page: Page) -> list[str]:
    """Return what axe-core calls serious or critical, as ``rule: the element's HTML``."""
    if not page.evaluate("() => 'axe' in window"):
        # Evaluated through the debugging protocol, which the page's own policy does not touch.
        library = web_libraries(default_build_cache(), TESTS) / "libraries" / "axe.js"
        page.evaluate(library.read_text(encoding="utf-8"))
    found = page.evaluate(
        "async rules => (await axe.run(document, {runOnly: {type: 'tag', values: rules}})).violations", RULES
    )
    return [
        f"{violation['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for violation in found
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]
