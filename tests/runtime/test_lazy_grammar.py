"""What a lazy grammar waits for."""

from __future__ import annotations

import pytest

from runtime.engine.sampling import LazyGrammar
from runtime.llama.lazy_grammar import TriggerWatch

CALL = r"<tool_call>\n"


def run(lazy: LazyGrammar, *pieces: str) -> str | None:
    """The text that the grammar begins with, once it does."""
    watch = TriggerWatch(lazy)
    for piece in pieces:
        begin = watch.push(piece.encode())
        if begin is not None:
            return begin.decode()
    return None


def test_a_word_starts_the_grammar_with_what_stands_behind_it() -> None:
    lazy = LazyGrammar(patterns=("<tool_call>",))
    assert run(lazy, "Let me see. ", "<tool", '_call>{"', "name") == '<tool_call>{"'


def test_without_the_word_it_waits() -> None:
    assert run(LazyGrammar(patterns=("<tool_call>",)), "<tool>", "_call>") is None


def test_the_first_of_several_triggers_counts() -> None:
    assert run(LazyGrammar(patterns=("<b>", "<a>")), "x<a>y<b>") == "<a>y<b>"


def test_a_group_says_where_the_grammar_begins() -> None:
    assert run(LazyGrammar(patterns=(r"functions\.(f|g)",)), "to functions.", "g(") == "g("


def test_a_pattern_for_the_whole_text() -> None:
    lazy = LazyGrammar(patterns=(r"^\s+to$",))
    assert run(lazy, " ", "to") == " to"
    assert run(lazy, "go", " to") is None
    assert run(lazy, " to\n") is None


def test_reasoning_is_not_searched() -> None:
    lazy = LazyGrammar(patterns=("CALL",), reasoning_start="<think>", reasoning_ends=("</think>",))
    assert run(lazy, "<th", "ink>", "I could CALL", " it</thi") is None
    assert run(lazy, "<think>CALL</th", "ink> well, ", "CALL f") == "CALL f"
    assert run(lazy, "a CALL", "<think>") == "CALL"


def test_reasoning_that_the_prompt_began() -> None:
    lazy = LazyGrammar(
        patterns=("CALL",), reasoning_start="<think>", reasoning_ends=("</think>",), begins_in_reasoning=True
    )
    assert run(lazy, "CALL", "x", "</think>CALL") == "CALL"
    assert run(lazy, *("CALL" * 100)) is None


def test_the_end_of_reasoning_can_be_the_trigger() -> None:
    lazy = LazyGrammar(
        patterns=("</think>",), reasoning_start="<think>", reasoning_ends=("</think>",), begins_in_reasoning=True
    )
    assert run(lazy, "hm", "</think>", "x") == "</think>"


def test_marks_that_are_missing_mean_no_reasoning() -> None:
    assert (
        run(LazyGrammar(patterns=("CALL",), reasoning_ends=("</think>",), begins_in_reasoning=True), "CALL") == "CALL"
    )


def test_a_broken_pattern_is_named() -> None:
    with pytest.raises(ValueError, match=r"the trigger '\('"):
        TriggerWatch(LazyGrammar(patterns=("(",)))
