"""Asks a running packed file the held-out questions and shows the scores.

Run ``python -m tools.demo_model.evaluate http://127.0.0.1:8080`` in the root of the checkout, with the model running.
"""

from __future__ import annotations

import argparse
import json
import logging
import urllib.request

from tests.demo_model.held_out import Case, cases

log = logging.getLogger("demo_model")


def answer(address: str, case: Case) -> str:
    """Hold the chat of ``case`` at temperature 0 and return the last reply."""
    messages: list[dict[str, str]] = []
    for turn in case.turns:
        messages.append({"role": "user", "content": turn})
        body = {"model": "demo", "messages": messages, "temperature": 0, "max_tokens": 200}
        request = urllib.request.Request(
            f"{address}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            choice = json.load(response)["choices"][0]
        if choice["finish_reason"] != "stop":
            return ""
        messages.append(choice["message"])
    return messages[-1]["content"]


def main() -> None:
    """Show every wrong answer and the share of right ones by kind and language."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    address = parser.parse_args().address.rstrip("/")
    for kind in ("question", "unknown", "memory"):
        met: dict[str, list[bool]] = {"en": [], "zh": []}
        for case in cases(kind):
            reply = answer(address, case)
            met["en" if case.turns[0].isascii() else "zh"].append(case.met_by(reply))
            if not case.met_by(reply):
                log.info("%s: %s -> %s", kind, case.turns[-1], reply or "(did not end)")
        for language, results in met.items():
            log.info("%s, %s: %d of %d", kind, language, sum(results), len(results))


if __name__ == "__main__":
    main()
