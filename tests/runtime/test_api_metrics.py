"""Counts of requests, and how Prometheus reads them."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

from runtime.api.metrics import Metrics
from runtime.engine.sampling import SamplingParams
from runtime.engine.sequence import Failed, Finished, GenerationRequest, TextDelta, Usage

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from runtime.engine.engine import Engine

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
REQUEST = GenerationRequest(prompt_tokens=(1, 1, 1), sampling=SamplingParams())


def finished(reused: int = 0) -> Finished:
    usage = Usage(num_prompt_tokens=5, num_generated_tokens=3, num_reused_tokens=reused)
    return Finished(reason="stop", usage=usage, token_ids=(1, 2, 3))


def read(client: FlaskClient) -> dict[str, float]:
    answer = client.get("/metrics")
    assert answer.mimetype == "application/openmetrics-text"
    lines = answer.get_data(as_text=True).splitlines()
    assert lines[-1] == "# EOF"
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_a_request_from_beginning_to_end() -> None:
    times = iter([10.0, 12.5, 13.0, 16.0, 16.5])
    metrics = Metrics(lambda: next(times))
    observer = metrics.observe()
    assert (metrics.snapshot().waiting, metrics.snapshot().running) == (1, 0)
    observer.event(TextDelta(text="x"))
    assert (metrics.snapshot().waiting, metrics.snapshot().running) == (0, 1)
    assert metrics.snapshot().prefill_s == 2.5
    observer.event(finished(reused=4))
    observer.close()
    counts = metrics.snapshot()
    assert (counts.waiting, counts.running) == (0, 0)
    assert (counts.prompt_tokens, counts.generated_tokens, counts.reused_tokens, counts.prefix_hits) == (5, 3, 4, 1)
    assert counts.decode_s == 3.5
    assert counts.outcomes == {"stop": 1}


def test_requests_that_end_otherwise() -> None:
    metrics = Metrics()
    metrics.observe().close()
    metrics.observe().event(Failed(error=ValueError()))
    left = metrics.observe()
    left.event(TextDelta(text="x"))
    left.close()
    left.close()
    counts = metrics.snapshot()
    assert counts.outcomes == {"cancelled": 2, "failed": 1}
    assert (counts.waiting, counts.running) == (0, 0)


def test_a_snapshot_does_not_change() -> None:
    metrics = Metrics()
    before = metrics.snapshot()
    metrics.observe().close()
    assert not before.outcomes


def test_the_page(client: FlaskClient) -> None:
    assert {name: value for name, value in read(client).items() if value} == {"packer_kv_cells": 64.0}
    assert client.post("/v1/chat/completions", json=CHAT).status_code == 200
    assert client.post("/v1/chat/completions", json={**CHAT, "max_tokens": 2}).status_code == 200
    found = read(client)
    assert found['packer_requests_ended_total{outcome="stop"}'] == 1
    assert found['packer_requests_ended_total{outcome="length"}'] == 1
    assert found["packer_prompt_tokens_total"] == 4
    assert found["packer_generated_tokens_total"] == 7
    assert found["packer_prompt_tokens_evaluated_total"] == 4 - found["packer_prompt_tokens_reused_total"]
    assert found["packer_kv_cells_used"] >= 7
    assert found["packer_prefix_hits_total"] == 1
    assert found["packer_prompt_tokens_reused_total"] >= 1
    assert found["packer_prefill_seconds_total"] > 0
    assert found["packer_requests_waiting"] == found["packer_requests_running"] == 0


def test_a_running_request_is_seen(client: FlaskClient, runner: Any) -> None:
    runner.gate = threading.Semaphore(2)
    answer = client.post("/v1/chat/completions", json={**CHAT, "stream": True}, buffered=False)
    assert read(client)["packer_requests_running"] == 1
    answer.close()
    runner.gate = None
    found = read(client)
    assert found["packer_requests_running"] == 0
    assert found['packer_requests_ended_total{outcome="cancelled"}'] == 1


def test_refused_requests_and_those_that_wait(client: FlaskClient, engine: Engine, runner: Any) -> None:
    assert client.post("/v1/completions", json={"prompt": "x" * 99}).status_code == 400
    runner.gate = threading.Semaphore(2)
    answer = client.post("/v1/chat/completions", json={**CHAT, "stream": True}, buffered=False)
    handles = [engine.submit(REQUEST) for _ in range(3)]
    found = read(client)
    assert (found["packer_queue_length"], found["packer_engine_running"]) == (3, 1)
    assert client.post("/v1/chat/completions", json=CHAT).status_code == 503
    assert read(client)['packer_requests_ended_total{outcome="refused"}'] == 2
    runner.gate = None
    answer.close()
    for handle in handles:
        assert list(handle.events())


def test_every_metric_is_described(client: FlaskClient) -> None:
    text = client.get("/metrics").get_data(as_text=True)
    types, helps = re.findall(r"# TYPE (\S+)", text), re.findall(r"# HELP (\S+) \S", text)
    assert types == helps
    assert all(name.startswith("packer_") for name in types)
