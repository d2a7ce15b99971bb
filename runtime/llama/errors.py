"""Failures at the boundary to llama.cpp that are no fault of the user."""

from __future__ import annotations


class DecodeError(RuntimeError):
    """``llama_decode`` refused or failed; the text says how."""


class DecodeInterruptedError(RuntimeError):
    """``llama_decode`` stopped early because the interrupt flag was raised."""


class GrammarError(DecodeError):
    """The grammar can't be used: it is invalid, or this model has no token that could follow."""
