"""Which LoRA adapters a request uses, and how strongly.

llama.cpp applies adapters to a whole context, so chats with different ones never share a step; what they leave in the
KV cache differs for the same tokens, so they never share cells either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

Scales = tuple[float, ...]
"""The scale of each adapter of the model, in the order of loading; 0 leaves one out."""
AS_LOADED: Scales = ()
"""The scales that the model was loaded with."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter of the loaded model, with the scale that requests get which say nothing."""

    name: str
    scale: float


class UnknownAdapterError(InputError):
    """A request names an adapter that the model does not have."""


def scales_of(wanted: Sequence[tuple[int | str, float]], adapters: Sequence[Adapter]) -> Scales:
    """Return the scales of a request that lists adapters by index or name; those it does not list are left out.

    Raises UnknownAdapterError.
    """
    names = [adapter.name for adapter in adapters]
    scales = [0.0] * len(names)
    for key, scale in wanted:
        index = names.index(key) if key in names else key
        if not isinstance(index, int) or not 0 <= index < len(names):
            known = ", ".join(f"{number} ({name!r})" for number, name in enumerate(names))
            has = f"this model's are {known}" if names else "this file was packed without any"
            raise UnknownAdapterError(f"there is no adapter {key!r:.60}; {has}")
        scales[index] = scale
    return AS_LOADED if scales == [adapter.scale for adapter in adapters] else tuple(scales)
