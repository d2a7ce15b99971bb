"""Records what is submitted to an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.engine.engine import Engine
    from runtime.engine.sequence import GenerationRequest, RequestHandle


def record_requests(engine: Engine) -> list[GenerationRequest]:
    """Return a list that grows with every request submitted to ``engine``."""
    requests: list[GenerationRequest] = []
    submit = engine.submit

    def recording(request: GenerationRequest) -> RequestHandle:
        requests.append(request)
        return submit(request)

    engine.submit = recording  # type: ignore[method-assign]
    return requests
