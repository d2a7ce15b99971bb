"""Two thousand short requests of every kind leave no trace in the memory of the process."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from tests.support.real_engine import RealEngine

NUM_REQUESTS = 2000
BOUND_BYTES = 1 << 20
"""Growth allowed over the second half, for the allocators: 1 KiB a request. A sampler chain or a prompt is more."""


def anonymous_bytes() -> int:
    """Anonymous memory of this process (proc(5), ``RssAnon``), garbage collected."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:"))


def request(client: FlaskClient, number: int) -> None:
    """Send one request; its kind and its words follow from ``number``."""
    messages = [{"role": "user", "content": f"hello {number % 97} " * (1 + number % 7)}]
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {"messages": messages, "max_tokens": 3, "seed": number}),
        ("/v1/chat/completions", {"messages": messages, "max_tokens": 3, "stream": True, "repeat_penalty": 1.2}),
        ("/v1/chat/completions", {"messages": messages, "max_tokens": 2, "logprobs": True, "top_logprobs": 3}),
        ("/v1/completions", {"prompt": f"good {number}", "max_tokens": 3, "n": 2, "mirostat": 2, "dry_multiplier": 1}),
        ("/v1/completions", {"prompt": "good", "max_tokens": 3, "grammar": 'root ::= "a" [a-z]+', "stop": "q"}),
        ("/v1/embeddings", {"input": [f"text {number}", "other"]}),
        ("/v1/chat/completions", {"messages": messages, "temperature": "hot"}),
        ("/v1/chat/completions", {"messages": messages, "grammar": "nonsense"}),
    ]
    path, body = kinds[number % len(kinds)]
    answer = client.post(path, json=body, buffered=False)
    if body.get("stream") and number % 3 == 0:
        answer.close()
        return
    answer.get_data()
    assert answer.status_code == (400 if number % len(kinds) >= 6 else 200), answer.get_data()


def test_no_growth_over_two_thousand_requests(open_engine: Callable[..., RealEngine]) -> None:
    client = open_engine(context_size=1024).client()
    sizes = []
    for number in range(NUM_REQUESTS):
        if number in {NUM_REQUESTS // 4, NUM_REQUESTS // 2}:
            sizes.append(anonymous_bytes())
        request(client, number)
    sizes.append(anonymous_bytes())
    assert sizes[2] - sizes[1] <= BOUND_BYTES, sizes
