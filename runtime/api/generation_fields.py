"""Reads the fields that say how tokens are chosen: sampling, biases, grammars, JSON output.

Names and meanings are those of llama.cpp's server (``tools/server/README.md``) and of OpenAI's API reference.
"""

from __future__ import annotations

import math
import re
from typing import Any

from runtime.api.errors import ApiError
from runtime.api.fields import (
    LARGEST_INTEGER,
    flag,
    integer,
    is_number,
    mapping,
    max_tokens,
    number,
    stop_strings,
    text,
    whole,
    wrong,
)
from runtime.json_schema import SchemaError, json_object_grammar, schema_to_grammar

MAX_BIASES = 10_000
MAX_BREAKERS = 16
MAX_ADAPTERS = 64
MAX_SCALE = 100.0
MAX_GRAMMAR_CHARACTERS = 1 << 18
TOKEN_NUMBER = re.compile("[0-9]{1,10}")
NUMBERS = {
    "temperature": (0.0, 100.0),
    "dynatemp_range": (0.0, 100.0),
    "dynatemp_exponent": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "typical_p": (0.0, 1.0),
    "top_n_sigma": (-1.0, 100.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "repeat_penalty": (0.01, 100.0),
    "dry_multiplier": (0.0, 100.0),
    "dry_base": (1.0, 100.0),
    "xtc_probability": (0.0, 1.0),
    "xtc_threshold": (0.0, 1.0),
    "mirostat_tau": (0.0, 100.0),
    "mirostat_eta": (0.0, 1.0),
}
INTEGERS = {
    "top_k": (-1, LARGEST_INTEGER),
    "seed": (-(1 << 63) + 1, (1 << 63) - 1),
    "repeat_last_n": (-1, LARGEST_INTEGER),
    "dry_allowed_length": (0, LARGEST_INTEGER),
    "dry_penalty_last_n": (-1, LARGEST_INTEGER),
    "mirostat": (0, 2),
}
"""Name to smallest and largest value, as in ``NUMBERS``."""


def generation_fields(document: dict[str, Any], *limit_names: str) -> dict[str, Any]:
    """Return the arguments of ``GenerationOptions``; ``limit_names`` are the fields that may hold ``max_tokens``.

    As with OpenAI's API, a prompt and reply that can't fit together are refused instead of cut short.
    """
    return {
        "sampling": sampling_fields(document),
        "max_tokens": max_tokens(document, *limit_names),
        "must_fit": True,
        "stop": stop_strings(document),
        "logit_bias": _logit_bias(document),
        "ignore_eos": flag(document, "ignore_eos"),
        "adapters": adapter_fields(document),
        **grammar_fields(document),
    }


def sampling_fields(document: dict[str, Any]) -> dict[str, Any]:
    """Return what ``document`` says about sampling, by the field names of ``SamplingParams``."""
    found: dict[str, Any] = {}
    for name, (smallest, largest) in NUMBERS.items():
        found[name] = number(document, name, smallest, largest)
    for name, (least, most) in INTEGERS.items():
        found[name] = integer(document, name, least, most)
    found["dry_sequence_breakers"] = _breakers(document)
    return {name: value for name, value in found.items() if value is not None}


def adapter_fields(document: dict[str, Any]) -> tuple[tuple[int | str, float], ...] | None:
    """Read ``lora``, the adapters of this request: ``[{"id": 0, "scale": 0.5}]``, or with ``name`` for ``id``."""
    listed = document.get("lora")
    if listed is None:
        return None
    if not isinstance(listed, list):
        raise wrong("lora", "a list", listed)
    if len(listed) > MAX_ADAPTERS:
        raise ApiError(400, f"lora: expected at most {MAX_ADAPTERS}, found {len(listed)}", param="lora")
    return tuple(_one_adapter(entry, f"lora[{index}]") for index, entry in enumerate(listed))


def _one_adapter(entry: Any, where: str) -> tuple[int | str, float]:
    if not isinstance(entry, dict):
        raise wrong(where, "an object", entry)
    key: int | str | None = text(entry, "name", f"{where}.")
    if key is None:
        key = whole(entry.get("id"))
    if key is None:
        raise wrong(f"{where}.id", "the number of an adapter, or its name in name", entry.get("id"))
    scale = number(entry, "scale", -MAX_SCALE, MAX_SCALE, f"{where}.")
    return key, 1.0 if scale is None else scale


def _breakers(document: dict[str, Any]) -> tuple[str, ...] | None:
    name = "dry_sequence_breakers"
    breakers = document.get(name)
    if breakers is None:
        return None
    if not isinstance(breakers, list) or not all(isinstance(entry, str) and entry for entry in breakers):
        raise wrong(name, "a list of strings that are not empty", breakers)
    if len(breakers) > MAX_BREAKERS:
        raise ApiError(400, f"{name}: expected at most {MAX_BREAKERS}, found {len(breakers)}", param=name)
    return tuple(breakers)


def _logit_bias(document: dict[str, Any]) -> tuple[tuple[int | str, float], ...]:
    """Read ``{"token or text": bias}`` or ``[[token or text, bias], ...]``; a bias of ``false`` bans."""
    biases = document.get("logit_bias")
    if biases is None:
        return ()
    if isinstance(biases, dict):
        pairs = [[int(key) if TOKEN_NUMBER.fullmatch(key) else key, bias] for key, bias in biases.items()]
    elif isinstance(biases, list):
        pairs = biases
    else:
        raise wrong("logit_bias", "an object or a list of pairs", biases)
    if len(pairs) > MAX_BIASES:
        raise ApiError(400, f"logit_bias: expected at most {MAX_BIASES}, found {len(pairs)}", param="logit_bias")
    return tuple(_one_bias(pair) for pair in pairs)


def _one_bias(pair: Any) -> tuple[int | str, float]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise wrong("logit_bias", "pairs of a token or text and a number", pair)
    key, bias = pair[0] if isinstance(pair[0], str) else whole(pair[0]), pair[1]
    if key is None:
        raise wrong("logit_bias", "pairs of a token or text and a number", pair)
    if bias is False:
        return key, -math.inf
    if not is_number(bias):
        raise wrong("logit_bias", "a number (or false, to ban) for each token", bias)
    if isinstance(key, int) and not 0 <= key <= LARGEST_INTEGER:
        raise ApiError(400, f"logit_bias: there is no token {key}", param="logit_bias")
    return key, float(max(-1e6, min(1e6, bias)))


def grammar_fields(document: dict[str, Any]) -> dict[str, Any]:
    """Read ``grammar``, ``json_schema`` or ``response_format``: at most one of them may ask for something."""
    found = [
        (name, grammar)
        for name, grammar in (
            ("grammar", _grammar(document)),
            ("json_schema", _schema(document.get("json_schema"), "json_schema")),
            ("response_format", _response_format(document)),
        )
        if grammar is not None
    ]
    if len(found) > 1:
        names = " and ".join(name for name, _ in found)
        raise ApiError(400, f"{names}: give only one of them", param=found[0][0])
    return {"grammar": found[0][1], "grammar_field": found[0][0]} if found else {}


def wanted_schema(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema that the answer has to follow, if the request gives one; the fields are checked already."""
    wanted = mapping(document, "response_format") or {}
    inner = wanted.get("json_schema")
    holder = inner if wanted.get("type") == "json_schema" and isinstance(inner, dict) else wanted
    schema = document.get("json_schema") or holder.get("schema")
    if isinstance(schema, dict):
        return schema
    return {"type": "object"} if wanted.get("type") == "json_object" else None


def _grammar(document: dict[str, Any]) -> str | None:
    grammar = text(document, "grammar")
    if grammar and len(grammar) > MAX_GRAMMAR_CHARACTERS:
        raise ApiError(400, f"grammar: expected at most {MAX_GRAMMAR_CHARACTERS} characters", param="grammar")
    return grammar or None


def _response_format(document: dict[str, Any]) -> str | None:
    """Read ``response_format`` of the chat API, which wraps the schema once more."""
    wanted = mapping(document, "response_format")
    if wanted is None or wanted.get("type") != "json_schema":
        return output_format(wanted, "response_format")
    inner = wanted.get("json_schema")
    if not isinstance(inner, dict):
        raise wrong("response_format.json_schema", "an object", inner)
    return output_format({**inner, "type": "json_schema"}, "response_format", "response_format.json_schema.schema")


def output_format(wanted: dict[str, Any] | None, where: str, schema_field: str | None = None) -> str | None:
    """Return the grammar of a wanted output format, ``None`` for plain text.

    A ``schema`` beside ``json_object`` is honoured, as in llama.cpp's server.
    """
    kind = wanted.get("type") if wanted is not None else "text"
    if wanted is None or kind == "text":
        return None
    schema_field = schema_field or f"{where}.schema"
    grammar = _schema(wanted.get("schema"), schema_field)
    if kind == "json_object":
        return grammar or json_object_grammar()
    if kind != "json_schema":
        expected = "text, json_object or json_schema"
        raise ApiError(400, f"{where}.type: expected {expected}, found {kind!r:.60}", param=f"{where}.type")
    if grammar is None:
        raise ApiError(400, f"{schema_field}: expected a schema", param=schema_field)
    return grammar


def _schema(schema: Any, where: str) -> str | None:
    if schema is None:
        return None
    if not isinstance(schema, dict):
        raise wrong(where, "a schema object", schema)
    try:
        return schema_to_grammar(schema)
    except SchemaError as error:
        raise ApiError(400, f"{where}: {error}", param=where) from error
