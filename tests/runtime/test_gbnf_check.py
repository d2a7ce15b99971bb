"""Grammars that are refused before llama.cpp sees them, each with its place and the reason."""

from __future__ import annotations

import pytest

from runtime.gbnf_check import GbnfError, GbnfTooLargeError, check_gbnf
from runtime.json_schema import json_object_grammar, schema_to_grammar

SOUND = [
    'root ::= "a"',
    'root ::= ("a" | b)* \nb ::= [a-z^\\]]{2,5} # what for\n',
    "\n# first\nroot ::= a b\r\na ::= .\r\nb ::= [^\\x00-\\x1F]+",
    'root ::= "\\U0001F600 \\u2603 \\\\ \\" \\t"',
    'root ::=\n  "a" |\n  "b"',
    'root ::= (\n"a"\n|\n"b"\n)',
    "root ::= <[12]> !<[3]> <think>",
    'root ::= [a-] [-a] [] ""',
    'root ::= "a"{3} "b"{0,} "c"{2,2000} "d"{,5}'.replace("{,5}", "{0,5}"),
    'root ::= "x"*?',
]
BROKEN = [
    ("", "no rule named root"),
    ("nonsense", "line 1, column 9: expected ::="),
    ('start ::= "a"', "no rule named root"),
    ("root ::= a", "line 1, column 10: the rule a is used but not defined"),
    ('root ::= "a', "line 1, column 10: a closing quote is missing"),
    ("root ::= [a", "a closing bracket is missing"),
    ("root ::= [a-", "a closing bracket is missing"),
    ('root ::= ("a"', "expected )"),
    ('root ::= "a")', "expected a new line or the end"),
    ("root ::= *", "nothing stands before it"),
    ('root ::= ""*', "nothing stands before it"),
    ('root ::= "a"{0}*', "nothing stands before it"),
    ('root ::= "\\q"', "expected an escape"),
    ('root ::= "\\x4"', "expected an escape"),
    ('root ::= "a"{x}', "expected a number"),
    ('root ::= "a"{1;2}', "expected }"),
    ('root ::= "a"{2001}', "repeated more than 2000 times"),
    ('root ::= ("a"{0,50}){50}', "repeated more than 2000 times"),
    ('root ::= "a"{99999999999999999999999}', "too large"),
    ("root ::= <[99999999999]>", "too large"),
    ("root ::= <", "expected a token"),
    ("root ::= ! x", "expected a token"),
    ('root ::= "a"\n| "b"', "line 2, column 1: expected the name of a rule"),
    ("root ::= a_b", "expected a new line or the end"),
    ("root ::= a\0b", "code 0"),
]
TOO_LARGE = [
    "root ::= " + "(" * 200_000,
    "root ::= " + "(" * 101 + '"a"' + ")" * 101,
    'root ::= "a"{5,2}',
    'root ::= "' + "a" * 2000 + '"{2000}',
    "root ::= a\n" + "".join(f"r{number} ::= a\n" for number in range(6000)),
]


@pytest.mark.parametrize("text", SOUND)
def test_sound_grammars(text: str) -> None:
    check_gbnf(text)


def test_grammars_of_schemas_are_sound() -> None:
    check_gbnf(json_object_grammar())
    check_gbnf(schema_to_grammar({"type": "array", "items": {"enum": ["a", 1]}, "minItems": 2, "maxItems": 9}))


@pytest.mark.parametrize(("text", "words"), BROKEN)
def test_broken_grammars(text: str, words: str) -> None:
    with pytest.raises(GbnfError) as caught:
        check_gbnf(text)
    assert words in str(caught.value)
    assert not isinstance(caught.value, GbnfTooLargeError)


@pytest.mark.parametrize("text", TOO_LARGE, ids=range(len(TOO_LARGE)))
def test_grammars_that_would_harm(text: str) -> None:
    with pytest.raises(GbnfTooLargeError):
        check_gbnf(text)


def test_tokens_are_those_of_the_model() -> None:
    check_gbnf("root ::= <think>", lambda name: name == "<think>")
    with pytest.raises(GbnfError, match="<thunk> is not one token"):
        check_gbnf("root ::= <thunk>", lambda name: name == "<think>")
