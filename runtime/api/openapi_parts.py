"""The pieces that JSON schemas of bodies are made of."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def nullable(kind: str, **more: Any) -> Schema:
    """Describe an optional field of one type; null counts as missing."""
    return {"type": [kind, "null"], **more}


def record(required: str, **properties: Schema) -> Schema:
    """Describe an object; ``required`` lists names, separated by spaces. Fields that are not listed are ignored."""
    schema: Schema = {"type": "object", "properties": properties}
    return {**schema, "required": required.split()} if required else schema


def listed(items: Schema, **more: Any) -> Schema:
    """Describe a list."""
    return {"type": "array", "items": items, **more}


def reference(name: str) -> Schema:
    """Refer to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG = nullable("boolean")
LIMIT = nullable("integer", minimum=-1, maximum=(1 << 63) - 1, **{"not": {"const": 0}})


PICTURE = {**TEXT, "description": "a data URL; only where the packed model has a projector"}


def content_options(kinds: tuple[str, ...], *others: Schema) -> list[Schema]:
    """Describe the content of a message: a text, or parts of one of ``kinds`` or like ``others``."""
    kind: Schema = {"enum": list(kinds)}
    part = record("type text", type=kind, text=TEXT)
    return [TEXT, listed({"anyOf": [part, *others]} if others else part)]
