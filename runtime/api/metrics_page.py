"""``GET /metrics``: the counts of this run for Prometheus, in OpenMetrics text format.

Only the parts of ``prometheus_client`` that describe and print metrics are used; its servers are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response

from runtime.api.context import chat_service, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.api.metrics import Counts
    from runtime.engine.engine import EngineLoad

OUTCOMES = ("stop", "length", "cancelled", "failed", "refused")


def create_blueprint() -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("metrics", __name__)
    blueprint.get("/metrics")(show_metrics)
    return blueprint


def show_metrics() -> Response:
    """Answer with all metrics."""
    from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
    from prometheus_client.registry import CollectorRegistry

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(metrics().snapshot(), chat_service().engine.current_load()))  # type: ignore[arg-type, unused-ignore]
    render: Callable[[CollectorRegistry], bytes] = generate_latest
    return Response(render(registry), content_type=CONTENT_TYPE_LATEST)


class _Collector:
    """Turns one snapshot into metric families (``prometheus_client.registry.Collector``)."""

    def __init__(self, counts: Counts, load: EngineLoad) -> None:
        self._counts = counts
        self._load = load

    def describe(self) -> list[Any]:
        """Promise nothing, so that registering does not collect."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield the metric families."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        counts, load = self._counts, self._load
        for name, help_text, number in (
            ("packer_queue_length", "Requests that wait for a place in the engine", load.num_waiting),
            ("packer_engine_running", "Requests that the engine works on together", load.num_running),
            ("packer_kv_cells", "Tokens that the KV cache can hold", load.num_cells),
            ("packer_kv_cells_used", "Tokens that the KV cache holds, idle chats included", load.num_cells_used),
        ):
            yield GaugeMetricFamily(name, help_text, number)
        yield GaugeMetricFamily("packer_requests_waiting", "Requests without a first token yet", counts.waiting)
        yield GaugeMetricFamily("packer_requests_running", "Requests whose reply has begun", counts.running)
        ended = CounterMetricFamily("packer_requests_ended", "Requests by how they ended", labels=["outcome"])
        for outcome in OUTCOMES:
            ended.add_metric([outcome], counts.outcomes[outcome])
        yield ended
        for name, help_text, value in (
            ("packer_prompt_tokens", "Tokens of prompts, of replies that were finished", counts.prompt_tokens),
            ("packer_prompt_tokens_evaluated", "Tokens of prompts that the model has read", load.num_prompt_tokens_run),
            ("packer_prompt_tokens_reused", "Tokens of prompts that were still in the KV cache", counts.reused_tokens),
            ("packer_prefix_hits", "Requests whose prompt's beginning was still in the KV cache", counts.prefix_hits),
            ("packer_generated_tokens", "Tokens of finished replies", counts.generated_tokens),
            ("packer_prefill_seconds", "Time from a request to its first token, queueing included", counts.prefill_s),
            ("packer_decode_seconds", "Time from the first token of a reply to its end", counts.decode_s),
        ):
            yield CounterMetricFamily(name, help_text, value)
