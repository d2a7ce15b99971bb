"""Schemas to grammars: whatever a grammar allows is valid for its schema, and what can't be kept is refused."""

from __future__ import annotations

import datetime
import ipaddress
import json
import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from runtime.gbnf import integer_range
from runtime.json_schema import SchemaError, json_object_grammar, schema_to_grammar
from tests.support.gbnf_samples import Grammar

if TYPE_CHECKING:
    from collections.abc import Callable

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


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "string", "pattern": "^a$"}, "$.pattern"),
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
        ({"type": "number", "maximum": 4}, "$.maximum"),
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
