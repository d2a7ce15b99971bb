"""Draws bars, a panel for each figure, as an SVG that is readable on light and on dark pages.

Reads ``[{"title", "names", "values"}]`` as JSON and writes to the path given. Run by the interpreter of
:mod:`tests.bench.environment`, by path.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TEXT, OURS, THEIRS = "#7d7d7d", "#1f7fd1", "#a8a8a8"
"""The text has a contrast of 4 to 1 on white and of 5 to 1 on black."""
COLUMNS = 2
WIDTH_INCHES, PANEL_INCHES = 9.0, 1.45
TITLE_X = -0.42
"""Where titles begin, in widths of the panel: above the names, which are as long as they are wide."""


def number(value: float) -> str:
    """Return three significant digits, or all of a whole number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def draw(panels: list[dict[str, Any]], path: str) -> None:
    """Write the picture; the first name is the project's own and is set off by its colour."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": "packer", "font.family": "sans-serif", "font.size": 9}
    )
    from matplotlib import pyplot

    num_rows = -(-len(panels) // COLUMNS)
    figure, axes = pyplot.subplots(num_rows, COLUMNS, figsize=(WIDTH_INCHES, PANEL_INCHES * num_rows), squeeze=False)
    for panel, axis in zip(panels, axes.flat, strict=False):
        names, values = panel["names"], panel["values"]
        bars = axis.barh(names, values, color=[OURS] + [THEIRS] * (len(names) - 1), height=0.7)
        axis.bar_label(bars, [number(value) for value in values], padding=3, color=TEXT)
        axis.set_title(panel["title"], loc="left", x=TITLE_X, color=TEXT, fontsize=10)
        axis.invert_yaxis()
        axis.set_xlim(0, max(values) * 1.3)
        axis.xaxis.set_visible(False)
        axis.tick_params(axis="y", length=0, labelcolor=TEXT)
        axis.spines[:].set_visible(False)
    figure.tight_layout(w_pad=4)
    figure.savefig(path, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
