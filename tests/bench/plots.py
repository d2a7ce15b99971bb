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
WIDTH_INCHES, PANEL_INCHES = 8.0, 1.45


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
        axis.bar_label(bars, [f"{value:.3g}" for value in values], padding=3, color=TEXT)
        axis.set_title(panel["title"], loc="left", color=TEXT, fontsize=10)
        axis.invert_yaxis()
        axis.set_xlim(0, max(values) * 1.15)
        axis.xaxis.set_visible(False)
        axis.tick_params(axis="y", length=0, labelcolor=TEXT)
        axis.spines[:].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
