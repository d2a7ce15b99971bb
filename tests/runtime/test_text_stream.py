"""Text never shows half a character or any part of a stop string, however the bytes are cut."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.text_stream import TextStream


def run(pieces: list[bytes], stop: list[str] | None = None) -> tuple[str, bool]:
    stream = TextStream(stop or [])
    text = "".join(stream.push(piece) for piece in pieces)
    return text + stream.finish(), stream.stopped


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    borders = sorted({0, len(data), *(position % (len(data) + 1) for position in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(borders)]


def first_completed(text: str, stop: list[str]) -> tuple[str, bool]:
    """What should come out, found the slow way: one character more at a time."""
    for end in range(len(text) + 1):
        starts = [end - len(word) for word in stop if text[:end].endswith(word)]
        if starts:
            return text[: min(starts)], True
    return text, False


@given(st.text(), st.lists(st.integers(0, 400)))
def test_any_cut_of_utf8_gives_the_text(text: str, cuts: list[int]) -> None:
    assert run(cut(text.encode(), cuts)) == (text, False)


@given(
    st.text("ab", max_size=30),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 99)),
)
def test_stop_strings_work_across_any_cut(text: str, stop: list[str], cuts: list[int]) -> None:
    assert run(cut(text.encode(), cuts), stop) == first_completed(text, stop)


def test_a_character_is_held_until_it_is_whole() -> None:
    stream = TextStream()
    snowman = "☃".encode()
    assert stream.push(snowman[:1]) == ""
    assert stream.push(snowman[1:2]) == ""
    assert stream.push(snowman[2:]) == "☃"


def test_an_incomplete_character_at_the_end_is_dropped() -> None:
    assert run([b"a", "☃".encode()[:2]]) == ("a", False)


def test_invalid_bytes_become_replacement_characters() -> None:
    assert run([b"a\xffb"]) == ("a�b", False)


def test_what_might_begin_a_stop_string_is_held_then_released() -> None:
    stream = TextStream(["STOP"])
    assert stream.push(b"go ST") == "go "
    assert stream.push(b"ART") == "START"
    assert not stream.stopped


def test_nothing_comes_after_a_stop_string() -> None:
    stream = TextStream(["\n\n"])
    assert stream.push(b"one\n\ntwo") == "one"
    assert stream.stopped_by == "\n\n"
    assert stream.push(b"three") == ""
    assert stream.finish() == ""
