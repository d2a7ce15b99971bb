"""JSON schemas to GBNF grammars, so that every reply that the grammar allows is valid for the schema.

A grammar may allow less than the schema does (properties keep their order; objects that list properties get no others
unless ``additionalProperties`` says so) but never more: a keyword that can't be honoured is refused. Keywords that are
annotations (``title``, ``description``, ``default``, ...) are ignored. ``oneOf`` is read as ``anyOf``.

Sources: JSON Schema 2020-12; llama.cpp's ``grammars/README.md`` for GBNF.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

from packer.errors import InputError
from runtime.gbnf import FORMATS, PRIMITIVES, excluded_names, integer_range, literal, repeated
from runtime.gbnf_numbers import decimal_range, just_inside
from runtime.gbnf_pattern import PatternError, pattern_grammar, repeated_character

MAX_GRAMMAR_CHARACTERS = 1 << 20
MAX_REPETITIONS = 1000
MAX_HOPS = 32
REFUSED = frozenset(
    {
        "not", "if", "then", "else", "patternProperties", "propertyNames", "dependentRequired", "dependentSchemas",
        "dependencies", "contains", "minContains", "maxContains", "unevaluatedProperties", "unevaluatedItems",
        "minProperties", "maxProperties", "multipleOf", "$dynamicRef", "$recursiveRef",
    }
)  # fmt: skip
IMPLIED_TYPES = {
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "minItems": "array",
    "maxItems": "array",
    "minLength": "string",
    "maxLength": "string",
    "format": "string",
    "pattern": "string",
    "minimum": "number",
    "maximum": "number",
    "exclusiveMinimum": "number",
    "exclusiveMaximum": "number",
}
PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


class SchemaError(InputError):
    """A schema that is invalid or can't be honoured; the text says where and why."""


def schema_to_grammar(schema: Any) -> str:
    """Return the grammar of ``schema``, a parsed JSON value. Raises SchemaError."""
    converter = _Converter(schema)
    try:
        return converter.grammar()
    except RecursionError as error:
        raise SchemaError("the schema is nested too deeply") from error


def json_object_grammar() -> str:
    """Return the grammar of any JSON object."""
    return schema_to_grammar({"type": "object"})


class _Converter:
    """Collects the rules of one grammar. Methods named after a kind of schema return a rule body or a rule name."""

    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._rules: dict[str, str] = {}
        self._refs: dict[str, str] = {}
        self._size = 0

    def grammar(self) -> str:
        body = self._visit(self._root, "$")
        self._rules["root"] = body
        return "".join(f"{name} ::= {rule}\n" for name, rule in self._rules.items())

    def _add(self, body: str) -> str:
        """Give ``body`` a rule of its own and return its name."""
        name = f"r{len(self._rules)}"
        self._define(name, body)
        return name

    def _define(self, name: str, body: str) -> None:
        self._size += len(body)
        if self._size > MAX_GRAMMAR_CHARACTERS:
            raise SchemaError("the schema is too large to be turned into a grammar")
        self._rules[name] = body

    def _primitive(self, name: str) -> str:
        """Return the name of a ready-made rule, after adding it and what it needs."""
        if name not in self._rules:
            body, needs = PRIMITIVES[name]
            self._define(name, body)
            for other in needs:
                self._primitive(other)
        return name

    def _visit(self, schema: Any, where: str) -> str:
        """Return an expression for ``schema``: something that can stand in a sequence."""
        if schema is True or schema == {}:
            return self._primitive("value")
        if not isinstance(schema, dict):
            raise SchemaError(f"{where}: expected a schema object, found {json.dumps(schema)[:60]}")
        for keyword in schema:
            if keyword in REFUSED:
                raise SchemaError(f"{where}.{keyword}: this keyword can't be enforced; remove it")
        if "$ref" in schema:
            return self._reference(schema, where)
        if "const" in schema:
            return self._enumeration([schema["const"]], schema, f"{where}.const")
        if "enum" in schema:
            return self._enumeration(schema["enum"], schema, f"{where}.enum")
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._union(schema, keyword, where)
        if "allOf" in schema:
            return self._visit(self._merged(schema, where), where)
        return self._typed(schema, where)

    def _reference(self, schema: dict[str, Any], where: str) -> str:
        self._refuse_siblings(schema, "$ref", where)
        reference = schema["$ref"]
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise SchemaError(f"{where}.$ref: only references into the same schema work, found {reference!r}")
        if reference not in self._refs:
            name = f"ref{len(self._refs)}"
            self._refs[reference] = name
            body = self._visit(self._resolve(reference, where), reference)
            if body == name:
                raise SchemaError(f"{where}.$ref: {reference} refers to nothing but itself")
            self._define(name, body)
        return self._refs[reference]

    def _resolve(self, reference: str, where: str) -> Any:
        target = self._root
        for step in reference.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and key.isdecimal() and int(key) < len(target):
                target = target[int(key)]
            elif isinstance(target, dict) and key in target:
                target = target[key]
            else:
                raise SchemaError(f"{where}.$ref: {reference} does not exist in the schema")
        return target

    def _refuse_siblings(self, schema: dict[str, Any], keyword: str, where: str) -> None:
        """Refuse keywords beside ``keyword`` that would narrow it further."""
        others = {*IMPLIED_TYPES, "type", "anyOf", "oneOf", "allOf", "enum", "const", "$ref", "uniqueItems"} - {keyword}
        found = sorted(others & schema.keys())
        if found:
            raise SchemaError(f"{where}: {keyword} together with {', '.join(found)} can't be enforced")

    def _enumeration(self, values: Any, schema: dict[str, Any], where: str) -> str:
        if not isinstance(values, list) or not values:
            raise SchemaError(f"{where}: expected a list of at least one value")
        types = self._types(schema, where) if "type" in schema else None
        kept = [value for value in values if types is None or any(_has_type(value, name) for name in types)]
        self._refuse_siblings({key: None for key in schema if key not in {"type", "enum", "const"}}, "enum", where)
        if not kept:
            raise SchemaError(f"{where}: no value has the type that the schema asks for")
        return _alternatives([literal(json.dumps(value, ensure_ascii=False)) for value in kept])

    def _union(self, schema: dict[str, Any], keyword: str, where: str) -> str:
        if "type" not in schema:
            self._refuse_siblings(schema, keyword, where)
        options, rest = schema[keyword], {key: value for key, value in schema.items() if key != keyword}
        if not isinstance(options, list) or not options:
            raise SchemaError(f"{where}.{keyword}: expected a list of at least one schema")
        if "type" in rest:
            options = [self._merge_type(option, rest["type"], f"{where}.{keyword}") for option in options]
            self._refuse_siblings({key: None for key in rest if key != "type"}, keyword, where)
        return _alternatives([self._visit(option, f"{where}.{keyword}[{i}]") for i, option in enumerate(options)])

    def _merge_type(self, option: Any, kind: Any, where: str) -> Any:
        if not isinstance(option, dict) or option.get("type", kind) != kind or "$ref" in option:
            raise SchemaError(f"{where}: give each alternative its own type instead of one beside them")
        return {**option, "type": kind}

    def _merged(self, schema: dict[str, Any], where: str) -> dict[str, Any]:
        """Join the parts of ``allOf`` as far as they are objects that say different things."""
        parts = schema["allOf"]
        if not isinstance(parts, list) or not parts:
            raise SchemaError(f"{where}.allOf: expected a list of at least one schema")
        own = {key: value for key, value in schema.items() if key != "allOf"}
        if len(parts) == 1 and isinstance(parts[0], dict) and not (own.keys() & (IMPLIED_TYPES.keys() | {"type"})):
            return parts[0]
        merged: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
        for index, part in enumerate([own, *parts]):
            place = f"{where}.allOf[{index - 1}]" if index else where
            part = self._followed(part, place)
            known = {"type", "properties", "required", "title", "description", "$defs", "definitions", "$schema", "$id"}
            if not isinstance(part, dict) or part.get("type", "object") != "object" or part.keys() - known:
                raise SchemaError(f"{place}: only objects with properties can be combined with allOf")
            properties = part.get("properties", {})
            if not isinstance(properties, dict) or not isinstance(part.get("required", []), list):
                raise SchemaError(f"{place}: expected properties to be an object and required a list")
            if twice := merged["properties"].keys() & properties.keys():
                raise SchemaError(f"{place}: the property {min(twice)!r} is described more than once")
            merged["properties"].update(properties)
            merged["required"] += part.get("required", [])
        return merged

    def _followed(self, schema: Any, where: str) -> Any:
        """Return what ``schema`` refers to, if it is a reference, through a limited number of references."""
        for _hop in range(MAX_HOPS):
            if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
                return schema
            self._refuse_siblings(schema, "$ref", where)
            schema = self._resolve(schema["$ref"], where)
        raise SchemaError(f"{where}.$ref: refers to itself")

    def _types(self, schema: dict[str, Any], where: str) -> list[str]:
        kinds = schema.get("type")
        if kinds is None:
            return sorted({kind for keyword, kind in IMPLIED_TYPES.items() if keyword in schema})
        names = kinds if isinstance(kinds, list) else [kinds]
        for name in names:
            if not isinstance(name, str) or name not in PYTHON_TYPES:
                raise SchemaError(f"{where}.type: expected one of {', '.join(PYTHON_TYPES)}, found {name!r}")
        if not names:
            raise SchemaError(f"{where}.type: an empty list allows nothing")
        return names

    def _typed(self, schema: dict[str, Any], where: str) -> str:
        kinds = self._types(schema, where)
        makers = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "number": self._number,
            "integer": self._integer,
        }
        bodies = [makers[kind](schema, where) if kind in makers else self._primitive(kind) for kind in kinds]
        return _alternatives(bodies) if bodies else self._primitive("value")

    def _object(self, schema: dict[str, Any], where: str) -> str:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, dict):
            raise SchemaError(f"{where}.properties: expected an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise SchemaError(f"{where}.required: expected a list of names")
        extra = schema.get("additionalProperties", not properties)
        if not properties and not required and extra is True:
            return self._primitive("object")
        missing = [name for name in required if name not in properties]
        if missing and extra is False and "additionalProperties" in schema:
            raise SchemaError(f"{where}.required: {missing[0]!r} is required but not allowed")
        properties = properties | dict.fromkeys(missing, extra if isinstance(extra, dict) else True)
        members = [
            (self._member(literal(json.dumps(name, ensure_ascii=False)), value, f"{where}.properties.{name}"), name)
            for name, value in properties.items()
        ]
        first, more = self._rest(extra, list(properties), where)
        for rule, name in reversed(members):
            if name in required:
                first, more = self._add(f"{rule} {more}"), self._add(f'"," ws {rule} {more}')
            else:
                first, more = self._add(f"{rule} {more} | {first}"), self._add(f'("," ws {rule})? {more}')
        self._primitive("ws")
        return self._add(f'"{{" ws {first} ws "}}"')

    def _member(self, name: str, value: Any, where: str) -> str:
        self._primitive("ws")
        return self._add(f'{name} ":" ws {self._visit(value, where)}')

    def _rest(self, extra: Any, taken: list[str], where: str) -> tuple[str, str]:
        """Return rules for properties that are not listed: when nothing stands before them, and when something does."""
        if extra is False:
            return '""', '""'
        if any(not name.isprintable() or '"' in name or "\\" in name for name in taken):
            raise SchemaError(f"{where}.additionalProperties: can't be enforced beside names that need escapes")
        key = self._add(f'"\\"" {excluded_names(taken, self._add)} "\\""') if taken else self._primitive("string")
        member = self._member(key, extra, f"{where}.additionalProperties")
        more = self._add(f'("," ws {member})*')
        return self._add(f"({member} {more})?"), more

    def _array(self, schema: dict[str, Any], where: str) -> str:
        if schema.get("uniqueItems"):
            raise SchemaError(f"{where}.uniqueItems: this keyword can't be enforced; remove it")
        least, most = self._bounds(schema, "minItems", "maxItems", where)
        fixed, items = schema.get("prefixItems", []), schema.get("items", True)
        if not isinstance(fixed, list):
            raise SchemaError(f"{where}.prefixItems: expected a list")
        self._primitive("ws")
        if not fixed:
            item = self._add(self._visit(items, f"{where}.items")) if items is not False else ""
            if most == 0 or not item:
                return '"[" ws "]"'
            tail = repeated(f'("," ws {item})', max(least - 1, 0), None if most is None else most - 1)
            body = f"{item} {tail}" if least else f"({item} {tail})?"
            return self._add(f'"[" ws {body} ws "]"')
        if items not in (False, True) or "minItems" in schema or "maxItems" in schema:
            raise SchemaError(f"{where}.prefixItems: can't be enforced with items, minItems or maxItems")
        parts = [self._visit(part, f"{where}.prefixItems[{index}]") for index, part in enumerate(fixed)]
        separator = ' "," ws '
        return self._add(f'"[" ws {separator.join(parts)} ws "]"')

    def _string(self, schema: dict[str, Any], where: str) -> str:
        kind = schema.get("format")
        if kind is not None:
            if not isinstance(kind, str) or kind not in FORMATS:
                raise SchemaError(f"{where}.format: expected one of {', '.join(FORMATS)}, found {kind!r}")
            if schema.keys() & {"minLength", "maxLength", "pattern"}:
                raise SchemaError(f"{where}.format: can't be enforced together with a length or a pattern")
            return self._add(f'"\\"" {FORMATS[kind]} "\\""')
        least, most = self._bounds(schema, "minLength", "maxLength", where)
        if "pattern" in schema:
            return self._add(f'"\\"" {self._pattern(schema["pattern"], least, most, where)} "\\""')
        if least == 0 and most is None:
            return self._primitive("string")
        return self._add(f'"\\"" {repeated(self._primitive("char"), least, most)} "\\""')

    def _pattern(self, pattern: Any, least: int, most: int | None, where: str) -> str:
        """Return an expression for what matches; lengths go with patterns that repeat one class of characters."""
        if not isinstance(pattern, str):
            raise SchemaError(f"{where}.pattern: expected a regular expression")
        try:
            if least == 0 and most is None:
                return pattern_grammar(pattern, lambda: self._primitive("char"))
            one = repeated_character(pattern)
        except PatternError as error:
            raise SchemaError(f"{where}.pattern: {error}") from error
        if one is None:
            raise SchemaError(f"{where}.pattern: can't be enforced together with a length; put it into the pattern")
        least, limits = max(least, one.least), [limit for limit in (most, one.most) if limit is not None]
        if limits and min(limits) < least:
            raise SchemaError(f"{where}.pattern: no text of the lengths that the schema asks for matches")
        return repeated(one.expression, least, min(limits, default=None))

    def _bounds(self, schema: dict[str, Any], least: str, most: str, where: str) -> tuple[int, int | None]:
        values = []
        for name in (least, most):
            value = schema.get(name)
            if value is not None and (type(value) is not int or not 0 <= value <= MAX_REPETITIONS):
                raise SchemaError(f"{where}.{name}: expected a whole number from 0 to {MAX_REPETITIONS}")
            values.append(value)
        smallest, largest = values[0] or 0, values[1]
        if largest is not None and largest < smallest:
            raise SchemaError(f"{where}.{most}: expected at least {least}, {smallest}, found {largest}")
        return smallest, largest

    def _integer(self, schema: dict[str, Any], where: str) -> str:
        lowest = self._limit(schema, "minimum", "exclusiveMinimum", 1, where)
        highest = self._limit(schema, "maximum", "exclusiveMaximum", -1, where)
        if lowest is None and highest is None:
            return self._primitive("integer")
        if lowest is not None and highest is not None and lowest > highest:
            raise SchemaError(f"{where}: no whole number is at least {lowest} and at most {highest}")
        return self._add(integer_range(lowest, highest))

    def _limit(self, schema: dict[str, Any], name: str, exclusive: str, step: int, where: str) -> int | None:
        """Return the innermost whole number that a pair of limits allows."""
        found = []
        for key, offset in ((name, 0), (exclusive, step)):
            value = schema.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
                raise SchemaError(f"{where}.{key}: expected a whole number, found {value!r}")
            found.append(int(value) + offset)
        return None if not found else max(found) if step > 0 else min(found)

    def _number(self, schema: dict[str, Any], where: str) -> str:
        lowest = self._decimal_limits(schema, "minimum", "exclusiveMinimum", 1, where)
        highest = self._decimal_limits(schema, "maximum", "exclusiveMaximum", -1, where)
        if not lowest and not highest:
            return self._primitive("number")
        if lowest == [0] and not highest:
            return self._primitive("positive")
        found = decimal_range(max(lowest, default=None), min(highest, default=None))
        if found is None:
            raise SchemaError(f"{where}: no number that can be written is between the limits")
        return self._add(found)

    def _decimal_limits(
        self, schema: dict[str, Any], name: str, exclusive: str, direction: int, where: str
    ) -> list[Decimal]:
        """Return the limits of a pair that are given, as the numbers that are just inside."""
        found = []
        for key in (name, exclusive):
            value = schema.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise SchemaError(f"{where}.{key}: expected a number, found {value!r:.60}")
            limit = Decimal(str(value))
            found.append(limit if key == name else just_inside(limit, direction))
        return found


def _has_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, PYTHON_TYPES[kind]) or (
        kind == "integer" and isinstance(value, float) and value.is_integer()
    )


def _alternatives(bodies: list[str]) -> str:
    return bodies[0] if len(bodies) == 1 else f"({' | '.join(bodies)})"
