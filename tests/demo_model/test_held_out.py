"""The demonstration model itself, asked held-out questions at temperature 0 through a packed file.

The fixture ``demo`` gives the address of the packed demonstration model, for example ``http://127.0.0.1:8080``.
"""

from __future__ import annotations

import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.demo_model.held_out import Case, cases

if TYPE_CHECKING:
    from collections.abc import Sequence

ON_TOPIC = 0.9
DECLINED = 0.9
TOKENS_PER_SECOND = 300


def complete(address: str, messages: Sequence[dict[str, str]]) -> dict[str, Any]:
    """One reply at temperature 0."""
    body = json.dumps({"model": "demo", "messages": messages, "temperature": 0, "max_tokens": 200}).encode()
    request = urllib.request.Request(
        f"{address}/v1/chat/completions", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def last_answer(address: str, case: Case) -> str:
    """Hold the chat of ``case``; every reply must end by itself."""
    messages: list[dict[str, str]] = []
    for turn in case.turns:
        messages.append({"role": "user", "content": turn})
        choice = complete(address, messages)["choices"][0]
        assert choice["finish_reason"] == "stop", (turn, choice)
        messages.append(choice["message"])
    return messages[-1]["content"]


def failures(address: str, kind: str) -> list[tuple[str, str]]:
    """The last question and answer of every case of ``kind`` whose facts are missing."""
    answers = [(case, last_answer(address, case)) for case in cases(kind)]
    return [(case.turns[-1], answer) for case, answer in answers if not case.met_by(answer)]


@pytest.mark.parametrize(("kind", "wanted"), [("question", ON_TOPIC), ("unknown", DECLINED), ("memory", 1.0)])
def test_held_out_cases_are_answered(demo: str, kind: str, wanted: float) -> None:
    failed = failures(demo, kind)
    assert 1 - len(failed) / len(cases(kind)) >= wanted, failed


def test_it_is_fast(demo: str) -> None:
    messages = [{"role": "user", "content": "Count from 1 to 20."}]
    complete(demo, messages)
    started_s = time.monotonic()
    num_tokens = sum(complete(demo, messages)["usage"]["completion_tokens"] for _ in range(5))
    assert num_tokens / (time.monotonic() - started_s) >= TOKENS_PER_SECOND
