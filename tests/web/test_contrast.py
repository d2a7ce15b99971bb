"""The colours of both themes against WCAG 2.2: text 4.5:1 (1.4.3), edges of controls 3:1 (1.4.11)."""

from __future__ import annotations

import re

import pytest

from web_ui.page import STATIC_FOLDER

TEXT_ON = {
    "ink": ("paper", "side", "surface", "tint", "code-ground", "danger-ground", "warning-ground"),
    "muted": ("paper", "side", "surface", "tint", "code-ground"),
    "accent": ("paper", "surface"),
    "danger": ("paper", "surface", "danger-ground"),
    **{f"hl-{name}": ("code-ground",) for name in ("keyword", "string", "number", "name", "comment")},
    "on-accent": ("accent", "accent-strong"),
}
EDGES_ON = {"edge": ("paper", "side", "surface"), "accent": ("paper", "surface", "tint"), "danger": ("surface",)}


def themes() -> dict[str, dict[str, str]]:
    """Both themes; the dark one is written twice, for the system's wish and for the reader's, and must agree."""
    text = (STATIC_FOLDER / "css" / "tokens.css").read_text(encoding="utf-8")
    parts = re.split(r"@media|:root\[data-theme=\"dark\"\]", text)
    light, wished, chosen = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part)) for part in parts)
    assert wished == chosen
    return {"light": light, "dark": {**light, **chosen}}


def luminance(colour: str) -> float:
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_formula_knows_its_ends() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("pairs", "least"), [(TEXT_ON, 4.5), (EDGES_ON, 3.0)], ids=["text", "edges"])
def test_colours_can_be_told_apart(theme: str, pairs: dict[str, tuple[str, ...]], least: float) -> None:
    colours = themes()[theme]
    ratios = {(a, b): contrast(colours[a], colours[b]) for a, grounds in pairs.items() for b in grounds}
    assert {pair: round(ratio, 2) for pair, ratio in ratios.items() if ratio < least} == {}
