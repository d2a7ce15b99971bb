"""How a request ends: its last event, and what is freed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.engine.sequence import Finished

if TYPE_CHECKING:
    from runtime.engine.sequence import Failed, FinishReason, Sequence


def finished(sequence: Sequence, reason: FinishReason) -> Finished:
    """Return the last event of a sequence."""
    return Finished(
        reason=reason,
        usage=sequence.usage(),
        token_ids=tuple(sequence.generated),
        stop_string=sequence.text.stopped_by if reason == "stop" else None,
    )


def discard(sequence: Sequence, event: Finished | Failed) -> None:
    """Free the sampler of a sequence without a place, and tell its owner."""
    if sequence.sampler is not None:
        sequence.sampler.close()
        sequence.sampler = None
    sequence.handle.put(event)
