"""When weights are rearranged in memory."""

from __future__ import annotations

import pytest

from runtime.repacking import wants_repacking

GIB = 1 << 30


@pytest.mark.parametrize(
    ("wanted", "model_bytes", "free_bytes", "expected"),
    [
        ("auto", 2 * GIB, 8 * GIB, True),
        ("auto", 2 * GIB, 8 * GIB - 1, False),
        ("auto", 2 * GIB, None, False),
        ("auto", 4_000_000, 8 * GIB, False),
        ("on", 2 * GIB, 1 * GIB, True),
        ("on", 4_000_000, None, True),
        ("off", 2 * GIB, 64 * GIB, False),
    ],
)
def test_a_copy_is_made_where_memory_is_plenty(
    wanted: str, model_bytes: int, free_bytes: int | None, expected: bool
) -> None:
    assert wants_repacking(wanted, model_bytes, free_bytes) is expected
