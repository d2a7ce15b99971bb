"""Schemas to grammars: whatever a grammar allows is valid for its schema, and what can't be kept is refused."""

from __future__ import annotations

import datetime
import ipaddress
import json
import random
import re
import uuid
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.gbnf import integer_range
from runtime.json_schema import SchemaError, json_object_grammar, schema_to_grammar
from tests.support.gbnf_samples import Grammar

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

NUM_SAMPLES = 300
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name"],
            "additionalProperties": False,
        }
    },
}
PERSON = {
    "title": "Person",
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5, "description": "first"},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "tags": {"type": "array", "items": {"enum": ["a", 'q"uote', "back\\slash", "new\nline", "é"]}, "maxItems": 3},
        "mail": {"anyOf": [{"type": "string", "format": "email"}, {"type": "null"}], "default": None},
    },
    "required": ["name", "tags"],
    "additionalProperties": False,
}


def samples(schema: Any, count: int = NUM_SAMPLES) -> list[Any]:
    """Parse random replies under the grammar of ``schema``; raises when one is no JSON."""
    grammar = Grammar(schema_to_grammar(schema))
    rng = random.Random(1)
    return [json.loads(grammar.sample(rng)) for _ in range(count)]


def is_tree(value: Any) -> bool:
    return (
        isinstance(value["name"], str)
        and value.keys() <= {"name", "children"}
        and all(is_tree(child) for child in value.get("children", []))
    )


def is_person(value: Any) -> bool:
    return (
        {"name", "tags"} <= value.keys() <= {"name", "age", "tags", "mail"}
        and 1 <= len(value["name"]) <= 5
        and 0 <= value.get("age", 0) <= 130
        and len(value["tags"]) <= 3
        and set(value["tags"]) <= {"a", 'q"uote', "back\\slash", "new\nline", "é"}
        and (value.get("mail") is None or "@" in value["mail"])
    )


@pytest.mark.parametrize(
    ("schema", "valid"),
    [
        ({}, lambda _value: True),
        ({"type": "object"}, lambda value: isinstance(value, dict)),
        ({"type": ["string", "null"]}, lambda value: value is None or isinstance(value, str)),
        ({"type": "boolean"}, lambda value: isinstance(value, bool)),
        ({"type": "integer"}, lambda value: isinstance(value, int)),
        ({"type": "number"}, lambda value: isinstance(value, int | float)),
        ({"type": "number", "minimum": 0}, lambda value: value >= 0),
        ({"type": "integer", "exclusiveMinimum": -3, "exclusiveMaximum": 3}, lambda value: -3 < value < 3),
        ({"type": "integer", "minimum": 17}, lambda value: value >= 17),
        ({"type": "integer", "maximum": -17}, lambda value: value <= -17),
        ({"const": {"a": [1, "x\\y"]}}, lambda value: value == {"a": [1, "x\\y"]}),
        ({"enum": ["1", 1, None], "type": ["integer", "null"]}, lambda value: value in (1, None) and value != "1"),
        ({"type": "string", "maxLength": 3}, lambda value: len(value) <= 3),
        ({"type": "string", "minLength": 3}, lambda value: len(value) >= 3),
        ({"type": "string", "format": "date"}, lambda value: value[:4] == "0000" or datetime.date.fromisoformat(value)),
        ({"type": "string", "format": "uuid"}, lambda value: uuid.UUID(value)),
        ({"type": "string", "format": "ipv4"}, lambda value: ipaddress.IPv4Address(value)),
        ({"type": "array", "minItems": 2, "maxItems": 3}, lambda value: 2 <= len(value) <= 3),
        ({"type": "array", "maxItems": 0}, lambda value: value == []),
        ({"type": "array", "maxItems": 1, "items": {"const": 1}}, lambda value: value in ([], [1])),
        ({"type": "array", "prefixItems": [{"const": 1}, {"type": "null"}]}, lambda value: value == [1, None]),
        ({"required": ["a"], "type": "object"}, lambda value: "a" in value),
        (
            {"properties": {"a": {"const": 1}, "ab": {"const": 2}}, "additionalProperties": {"const": 3}},
            lambda value: all(value[name] == {"a": 1, "ab": 2}.get(name, 3) for name in value),
        ),
        (
            {
                "allOf": [{"$ref": "#/$defs/a"}, {"properties": {"y": {"const": 2}}}],
                "$defs": {"a": {"required": ["x"]}},
            },
            lambda value: "x" in value and value.get("y", 2) == 2,
        ),
        (PERSON, is_person),
        (TREE, is_tree),
    ],
)
def test_every_text_of_the_grammar_is_valid(schema: Any, valid: Callable[[Any], Any]) -> None:
    found = samples(schema)
    assert all(valid(value) is not False for value in found), next(v for v in found if valid(v) is False)


def test_the_grammar_leaves_a_choice() -> None:
    ages = {value.get("age") for value in samples(PERSON)}
    assert len(ages) > 20
    assert None in ages
    assert len({json.dumps(value) for value in samples({"type": "object"})}) > 50


def test_json_object() -> None:
    assert isinstance(json.loads(Grammar(json_object_grammar()).sample(random.Random(3))), dict)


@pytest.mark.parametrize("low", [-1205, -100, -10, -9, -1, 0, 1, 7, 10, 99, 100, 105, 999])
@pytest.mark.parametrize("width", [0, 1, 8, 9, 10, 91, 200, 1100])
def test_integer_ranges_hold_exactly_their_numbers(low: int, width: int) -> None:
    grammar = Grammar(f"root ::= {integer_range(low, low + width)}")
    rng = random.Random(width)
    found = {int(grammar.sample(rng)) for _ in range(400)}
    assert min(found) >= low
    assert max(found) <= low + width
    if width <= 10:
        assert found == set(range(low, low + width + 1))


@given(
    st.one_of(st.none(), st.decimals(-1000, 1000, places=3)),
    st.one_of(st.none(), st.decimals(-1000, 1000, places=3)),
    st.booleans(),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_numbers_are_between_their_limits(
    low: Decimal | None, high: Decimal | None, excludes_low: bool, excludes_high: bool
) -> None:
    schema: dict[str, Any] = {"type": "number"}
    if low is not None:
        schema["exclusiveMinimum" if excludes_low else "minimum"] = float(low)
    if high is not None:
        schema["exclusiveMaximum" if excludes_high else "maximum"] = float(high)
    if low is not None and high is not None and (high < low or (high == low and (excludes_low or excludes_high))):
        with pytest.raises(SchemaError, match="no number"):
            schema_to_grammar(schema)
        return
    grammar, rng = Grammar(schema_to_grammar(schema)), random.Random(1)
    for text in [grammar.sample(rng) for _ in range(50)]:
        value = json.loads(text)
        assert low is None or value > float(low) or (value == float(low) and not excludes_low), text
        assert high is None or value < float(high) or (value == float(high) and not excludes_high), text


def test_a_share_may_be_any_decimal() -> None:
    found = {value for value in samples({"type": "number", "minimum": 0, "maximum": 1}, 2000)}
    assert {0, 1} <= found
    assert len(found) > 50
    assert {round(value, 1) for value in found} == {number / 10 for number in range(11)}


@pytest.mark.parametrize(
    "pattern",
    [
        "", "^$", "a", "^abc$", "^[A-Z]{3}-\\d{2,4}$", "^(yes|no|)$", "^a|b$", "colou?r", "^(?:ab)+?$", "^(?P<x>a)b$",
        "^(?<year>\\d{4})-(0[1-9]|1[0-2])$", "^[^\\s@]+@[^\\s@]+\\.[a-z]{2,}$", "^.*$", '^["\\\\]+$', "^\\S+\\s\\W\\D$",
        "^[^a-z]{2}$", "^\\u00e9\\x41\\t\\n$", "^[é漢-漣]+$", "^[-a]$", "^[a-]$", "^#[0-9a-fA-F]{6}$",
        "^\\+?[1-9]\\d{1,14}$",
        "^/(\\w+/)*$", "^[\\w.-]+$", "]",
    ],
)  # fmt: skip
def test_texts_match_their_pattern(pattern: str) -> None:
    found = samples({"type": "string", "pattern": pattern})
    plain = pattern.replace("(?<year>", "(?P<year>")
    assert all(re.search(plain, text) for text in found), next(text for text in found if not re.search(plain, text))
    assert all(jsonschema_rs.is_valid({"pattern": pattern.replace("?P<", "?<")}, text) for text in found)


def test_a_pattern_leaves_a_choice_and_goes_with_lengths() -> None:
    assert len({text for text in samples({"pattern": "^[a-z]+$"})}) > 100
    assert any('"' in text for text in samples({"pattern": "^[^a]+$"}))
    lengths = {len(text) for text in samples({"pattern": "^\\w+$", "minLength": 3, "maxLength": 5})}
    assert lengths == {3, 4, 5}
    assert {len(text) for text in samples({"pattern": "^[a-z]{2,9}$", "maxLength": 3})} == {2, 3}


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"pattern": 5}, "$.pattern: expected a regular expression"),
        ({"pattern": "(?=a)"}, "$.pattern: at character 3: groups that look around"),
        ({"pattern": "(?i)a"}, "$.pattern: at character 3"),
        ({"pattern": "(a)\\1"}, "$.pattern: at character 5: \\1 can't be enforced"),
        ({"pattern": "a\\b"}, "$.pattern: at character 3: \\b can't"),
        ({"pattern": "\\p{L}"}, "$.pattern"),
        ({"pattern": "(^a$)|b"}, "$.pattern: at character 2"),
        ({"pattern": "(a$)"}, "$.pattern: at character 3: anchors"),
        ({"pattern": "a$b"}, "$.pattern"),
        ({"pattern": "(a"}, "$.pattern: at character 3: a ')' is missing"),
        ({"pattern": "a)"}, "$.pattern"),
        ({"pattern": "[a"}, "$.pattern: at character 3: it ends too early"),
        ({"pattern": "[]"}, "$.pattern"),
        ({"pattern": "[z-a]"}, "$.pattern"),
        ({"pattern": "[\\w-z]"}, "$.pattern"),
        ({"pattern": "[\\x00-\\x08]"}, "$.pattern"),
        ({"pattern": "\\u12"}, "$.pattern"),
        ({"pattern": "*"}, "$.pattern: at character 1: '*' can't stand here"),
        ({"pattern": "a**"}, "$.pattern"),
        ({"pattern": "a{,2}"}, "$.pattern"),
        ({"pattern": "a{3,2}"}, "$.pattern"),
        ({"pattern": "a{5000}"}, "$.pattern"),
        ({"pattern": "a" * 2001}, "$.pattern"),
        ({"pattern": "(" * 1500}, "the schema is nested too deeply"),
        ({"pattern": "^ab$", "minLength": 2}, "$.pattern: can't be enforced together with a length"),
        ({"pattern": "^[a]{2}$", "maxLength": 1}, "$.pattern: no text"),
        ({"pattern": "^a$", "format": "uuid"}, "$.format"),
        ({"properties": {"a": {"not": {}}}}, "$.properties.a.not"),
        ({"type": "wizard"}, "$.type"),
        ({"type": []}, "$.type"),
        ({"properties": {"a": False}}, "$.properties.a"),
        ({"properties": 5}, "$.properties"),
        ({"required": 5}, "$.required"),
        ({"properties": {"a": {}}, "required": ["b"], "additionalProperties": False}, "$.required"),
        ({"properties": {'"': {}}, "additionalProperties": True}, "$.additionalProperties"),
        ({"items": 5}, "$.items"),
        ({"type": "array", "uniqueItems": True}, "$.uniqueItems"),
        ({"minItems": -1}, "$.minItems"),
        ({"minItems": 3, "maxItems": 2}, "$.maxItems"),
        ({"type": "string", "maxLength": 10**6}, "$.maxLength"),
        ({"type": "string", "format": "uri"}, "$.format"),
        ({"type": "integer", "minimum": 0.5}, "$.minimum"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "$"),
        ({"type": "number", "maximum": "4"}, "$.maximum"),
        ({"type": "number", "maximum": 4, "minimum": 5}, "$: no number"),
        ({"type": "number", "exclusiveMaximum": 4, "minimum": 4}, "$: no number"),
        ({"type": "number", "multipleOf": 4}, "$.multipleOf"),
        ({"enum": []}, "$.enum"),
        ({"enum": ["a"], "type": "integer"}, "$.enum"),
        ({"anyOf": []}, "$.anyOf"),
        ({"anyOf": [{}], "properties": {}}, "$"),
        ({"allOf": [{"type": "string"}, {"type": "object"}]}, "$.allOf[0]"),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"a": {}}}]}, "$.allOf[1]"),
        ({"$ref": "https://example.org/x"}, "$.$ref"),
        ({"$ref": "#/$defs/none"}, "$.$ref"),
        ({"$ref": "#"}, "$.$ref"),
        ({"$ref": "#/$defs/a", "type": "object", "$defs": {"a": {}}}, "$"),
        ({"allOf": [{"$ref": "#/$defs/a"}, {}], "$defs": {"a": {"$ref": "#/$defs/a"}}}, "$.allOf[0].$ref"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_its_place(schema: Any, place: str) -> None:
    with pytest.raises(SchemaError) as caught:
        schema_to_grammar(schema)
    assert str(caught.value).startswith(place)


def test_endless_nesting_and_size_are_refused() -> None:
    deep: Any = {"type": "string"}
    for _ in range(2000):
        deep = {"type": "array", "items": deep}
    with pytest.raises(SchemaError, match="deeply"):
        schema_to_grammar(deep)
    with pytest.raises(SchemaError, match="too large"):
        schema_to_grammar({"properties": {f"{n:01000}": {} for n in range(2000)}})
