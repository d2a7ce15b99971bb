"""Where the time of a start goes: what the launcher hands over, overlapping parts, and nothing told twice."""

from __future__ import annotations

import json

import pytest

from runtime.timings import Timings


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def test_the_launcher_begins_the_table() -> None:
    clock = Clock(10.5)
    timings = Timings("10000.000 10001.000 10100.000", clock=clock)
    with timings.part("model"):
        clock.now_s += 0.25
    timings.event("ready")
    found = [(part.name, round(part.begin_s, 6), round(part.end_s, 6)) for part in timings.parts]
    assert found == [
        ("launcher", 0, 0.001),
        ("unpack", 0.001, 0.1),
        ("Python", 0.1, 0.5),
        ("model", 0.5, 0.75),
        ("ready", 0.75, 0.75),
    ]


@pytest.mark.parametrize("handed_over", ["", "x", "1 2", "1 2 x", "3 2 1", "1 2 99999999", "nan nan nan"])
def test_what_is_no_time_of_the_launcher_is_ignored(handed_over: str) -> None:
    assert Timings(handed_over, clock=Clock(10.0)).parts == []


def test_each_part_is_told_once_and_only_when_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock(1.0)
    timings = Timings(clock=clock)
    with timings.part("model"):
        clock.now_s += 0.5
    timings.tell()
    assert capsys.readouterr() == ("", "")
    timings.wanted = True
    timings.tell()
    told = capsys.readouterr().err
    assert told.splitlines()[0].split() == ["start,", "ms", "from", "to", "took"]
    assert told.splitlines()[1].split() == ["model", "0.0", "500.0", "500.0"]
    timings.first_token()
    assert capsys.readouterr().err.split() == ["first", "token", "500.0", "500.0"]
    timings.as_json = True
    timings.event("end")
    timings.tell()
    assert json.loads(capsys.readouterr().err) == {"start": [{"name": "end", "begin_s": 0.5, "end_s": 0.5}]}
