"""What Prometheus reads agrees with what the answers to real requests say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from tests.support.real_engine import RealEngine

SYSTEM = {"role": "system", "content": "You are good at many things, and that is what the people like about you."}


def read(client: FlaskClient) -> dict[str, float]:
    lines = client.get("/metrics").get_data(as_text=True).splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_the_sums_of_real_traffic(open_engine: Callable[..., RealEngine]) -> None:
    client = open_engine(context_size=512).client()
    usages: list[dict[str, Any]] = []
    for words in ("one", "two", "three", "one"):
        messages = [SYSTEM, {"role": "user", "content": words}]
        body = client.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 6}).get_json()
        usages.append(body["usage"])
    assert client.post("/v1/completions", json={"prompt": "the " * 600}).status_code == 400
    found = read(client)
    prompt = sum(usage["prompt_tokens"] for usage in usages)
    cached = sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in usages)
    assert cached > 0
    assert found["packer_prompt_tokens_total"] == prompt
    assert found["packer_prompt_tokens_reused_total"] == cached
    assert found["packer_prompt_tokens_evaluated_total"] == prompt - cached
    assert found["packer_prefix_hits_total"] == 3
    assert found["packer_generated_tokens_total"] == sum(usage["completion_tokens"] for usage in usages)
    ended = {name: value for name, value in found.items() if name.startswith("packer_requests_ended_total")}
    assert sum(ended.values()) == 5
    assert ended['packer_requests_ended_total{outcome="refused"}'] == 1
    assert found["packer_kv_cells"] == 512
    assert max(usage["total_tokens"] for usage in usages) - 1 <= found["packer_kv_cells_used"] <= 512
    assert found["packer_queue_length"] == found["packer_engine_running"] == 0
