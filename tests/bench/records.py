"""Keeps what a benchmark measured, round by round, and writes its table into a page of docs/.

A run can be cut short and continued: each round is in the file as soon as it is done.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.program import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.bench.machine import Busyness

DOCUMENT = CHECKOUT / "docs" / "benchmarks.md"
RESULTS = CHECKOUT / "build" / "bench"
Round = dict[str, Any]


@dataclass(kw_only=True)
class Results:
    """The rounds of one benchmark."""

    name: str
    path: Path
    rounds: list[Round] = field(default_factory=list)

    def add(self, round_: Round, busyness: Busyness) -> None:
        """Keep a round; it is on the disk afterwards."""
        busy = {"others": busyness.others, "stolen": busyness.stolen, "load": busyness.load_average}
        self.rounds.append({"date": datetime.date.today().isoformat(), **round_, "machine": busy})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.rounds, indent=1) + "\n", encoding="utf-8")
        sys.stderr.write(f"  machine: {busyness}\n")

    def conditions(self) -> str:
        """Say when it was measured, how often, and how busy the machine was."""
        dates = sorted({str(one["date"]) for one in self.rounds})
        busy = [one["machine"]["others"] + one["machine"]["stolen"] for one in self.rounds]
        return (
            f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))}; others had {statistics.median(busy):.0%} of the "
            f"processors' time at the median of the rounds, at most {max(busy):.0%}."
        )


def run(
    name: str,
    description: str,
    measure: Callable[[Results, argparse.Namespace], None],
    table: Callable[[Results], Iterable[str]],
    options: Callable[[argparse.ArgumentParser], None] = lambda _parser: None,
    draw: Callable[[Results], None] = lambda _results: None,
    document: Path = DOCUMENT,
) -> None:
    """Be the command line of a benchmark: ``measure`` adds rounds, ``table`` makes Markdown lines of them.

    ``draw`` makes a picture for the documentation; ``document`` is the page with the marks for the table.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (0: only show)")
    parser.add_argument("--resume", action="store_true", help="add to the rounds of the run before")
    parser.add_argument("--json", type=Path, default=RESULTS / f"{name}.json", help="where the rounds are kept")
    parser.add_argument("--write", choices=["docs"], help=f"put the table into docs/{document.name}")
    parser.add_argument("--peer", type=Path, help="a llama-server to measure, instead of one that is built here")
    options(parser)
    chosen = parser.parse_args()
    results = Results(name=name, path=chosen.json)
    if (chosen.resume or chosen.rounds == 0) and chosen.json.exists():
        results.rounds = json.loads(chosen.json.read_text(encoding="utf-8"))
    if chosen.rounds:
        measure(results, chosen)
    if not results.rounds:
        parser.error(f"{chosen.json} has no rounds yet")
    lines = [*table(results), "", results.conditions()]
    sys.stdout.write("\n".join(lines) + "\n")
    if chosen.write:
        replace_section(document, name, lines)
        draw(results)


def replace_section(document: Path, name: str, lines: Sequence[str]) -> None:
    """Put ``lines`` between the two marks of a benchmark. Raises ValueError when they are not there."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = document.read_text(encoding="utf-8")
    head, found, rest = text.partition(begin)
    _old, found_end, tail = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"{document}: expected the lines {begin} and {end}")
    document.write_text("\n".join([head + begin, *lines, end + tail]), encoding="utf-8")


def median(rounds: Iterable[Round], name: str) -> float:
    """The median of a figure over rounds."""
    return statistics.median(float(one[name]) for one in rounds)


def median_ratio(rounds: Iterable[Round], name: str, other: str) -> float:
    """The median of the ratios of two figures that were measured one right after the other."""
    return statistics.median(float(one[name]) / float(one[other]) for one in rounds)
