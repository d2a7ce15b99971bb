"""JSON schemas of request bodies, made from the same tables that requests are checked with."""

from __future__ import annotations

import itertools

from runtime.api.chat_request import MAX_CHOICES
from runtime.api.completions import MAX_PROMPTS
from runtime.api.embeddings import FORMATS, MAX_INPUTS
from runtime.api.fields import MAX_STOP_STRINGS
from runtime.api.generation_fields import INTEGERS, MAX_ADAPTERS, MAX_BREAKERS, MAX_SCALE, NUMBERS
from runtime.api.logprobs import INCLUDABLE, MAX_TOP_LOGPROBS
from runtime.api.openapi_parts import (
    COUNT,
    FLAG,
    LIMIT,
    TEXT,
    Schema,
    content_options,
    listed,
    nullable,
    record,
    reference,
)
from runtime.api.openapi_tools import (
    chat_message_schema,
    chat_tool_properties,
    input_item_schema,
    message_tool_properties,
    message_turn_schema,
    response_tool_properties,
)
from runtime.api.response_request import REFUSED

UNSET: Schema = {"enum": [False, None], "description": "not available from this program"}
LOGPROBS = nullable("integer", minimum=0, maximum=MAX_TOP_LOGPROBS)


def request_schemas() -> dict[str, Schema]:
    """Describe the request bodies by name."""
    return {
        "ChatRequest": _chat_request(),
        "ChatMessage": chat_message_schema(),
        "CompletionRequest": _completion_request(),
        "EmbeddingRequest": _embedding_request(),
        "ResponseRequest": _response_request(),
        "InputMessage": input_item_schema(),
        "MessageRequest": _message_request("messages max_tokens"),
        "CountTokensRequest": _message_request("messages"),
        "TokenizeRequest": record("content", content=TEXT, add_special=FLAG, parse_special=FLAG, with_pieces=FLAG),
        "DetokenizeRequest": record("tokens", tokens=listed(COUNT)),
        "TemplateRequest": record(
            "messages", messages=listed(reference("ChatMessage"), minItems=1), **chat_tool_properties()
        ),
    }


def _chat_request() -> Schema:
    return one_grammar(
        "messages",
        model=nullable("string"),
        messages=listed(reference("ChatMessage"), minItems=1),
        max_tokens=LIMIT,
        max_completion_tokens=LIMIT,
        n=nullable("integer", minimum=1, maximum=MAX_CHOICES),
        logprobs=FLAG,
        top_logprobs=LOGPROBS,
        functions={"enum": [[], None], "description": "send tools"},
        function_call={"enum": ["none", None], "description": "send tool_choice"},
        web_search_options={"type": "null", "description": "not available from this program"},
        modalities={"enum": [["text"], None]},
        **_stream_properties(),
        **sampling_properties(),
        **_output_properties(),
        **chat_tool_properties(),
    )


def _completion_request() -> Schema:
    return one_grammar(
        "prompt",
        model=nullable("string"),
        prompt={"anyOf": [{**TEXT, "minLength": 1}, _tokens(), _prompts()]},
        max_tokens=LIMIT,
        n=nullable("integer", minimum=1, maximum=MAX_CHOICES),
        best_of=nullable("integer", minimum=1, description="the same as n"),
        echo=UNSET,
        suffix={"type": ["string", "null"], "maxLength": 0},
        logprobs=LOGPROBS,
        **_stream_properties(),
        **sampling_properties(),
        **_output_properties(),
    )


def _response_request() -> Schema:
    return record(
        "input",
        model=nullable("string"),
        input={"anyOf": [TEXT, listed(reference("InputMessage"), minItems=1)]},
        instructions=nullable("string"),
        max_output_tokens=LIMIT,
        metadata=nullable("object"),
        stream=FLAG,
        background=UNSET,
        include={"type": ["array", "null"], "items": {"enum": list(INCLUDABLE)}},
        top_logprobs=LOGPROBS,
        **{name: {"type": "null"} for name in REFUSED},
        text=nullable("object", properties={"format": {"anyOf": [_format(), {"type": "null"}]}}),
        **sampling_properties(),
        **response_tool_properties(),
    )


def one_grammar(required: str, **properties: Schema) -> Schema:
    """Describe an object in which at most one field may say what form the output takes."""
    set_fields = [
        record("grammar", grammar={**TEXT, "minLength": 1}),
        record("json_schema", json_schema={"type": "object"}),
        record("response_format", response_format=record("type", type={"enum": ["json_object", "json_schema"]})),
    ]
    pairs = [{"allOf": list(pair)} for pair in itertools.combinations(set_fields, 2)]
    return {**record(required, **properties), "not": {"anyOf": pairs}}


def _embedding_request() -> Schema:
    inputs = listed({"anyOf": [{**TEXT, "minLength": 1}, _tokens()]}, minItems=1, maxItems=MAX_INPUTS)
    return record(
        "input",
        model=nullable("string"),
        user=nullable("string"),
        input={"anyOf": [{**TEXT, "minLength": 1}, _tokens(), inputs]},
        encoding_format={"enum": [*FORMATS, None]},
        dimensions=nullable(
            "integer", minimum=1, description="vectors are cut to so many numbers, at most the model's own"
        ),
    )


def sampling_properties() -> dict[str, Schema]:
    """Describe the sampling fields that every request takes."""
    numbers = {name: nullable("number", minimum=low, maximum=high) for name, (low, high) in NUMBERS.items()}
    integers = {name: nullable("integer", minimum=low, maximum=high) for name, (low, high) in INTEGERS.items()}
    breakers = {"type": ["array", "null"], "items": {**TEXT, "minLength": 1}, "maxItems": MAX_BREAKERS}
    return {**numbers, **integers, "dry_sequence_breakers": breakers, "lora": _lora()}


def _lora() -> Schema:
    scale = {"anyOf": [{"type": "number", "minimum": -MAX_SCALE, "maximum": MAX_SCALE}, {"type": "null"}]}
    by_id = record("id", id=COUNT, scale=scale, name={"type": "null"})
    by_name = record("name", name=TEXT, scale=scale)
    return {
        "anyOf": [listed({"anyOf": [by_id, by_name]}, maxItems=MAX_ADAPTERS), {"type": "null"}],
        "description": "the adapters of this request, see /lora-adapters; those that are not listed are left out",
    }


def _output_properties() -> dict[str, Schema]:
    stop = {**TEXT, "minLength": 1}
    bias = {"anyOf": [{"type": "number"}, {"const": False}]}
    pair = {"type": "array", "prefixItems": [{"type": ["integer", "string"]}, bias], "minItems": 2, "maxItems": 2}
    return {
        "stop": {"anyOf": [stop, listed(stop, maxItems=MAX_STOP_STRINGS), {"type": "null"}]},
        "ignore_eos": FLAG,
        "logit_bias": {
            "anyOf": [{"type": "object", "additionalProperties": bias}, listed(pair), {"type": "null"}],
            "description": "by token number or by text; false bans a token",
        },
        "grammar": nullable("string", description="GBNF; its first rule is root"),
        "json_schema": nullable("object", description="the reply is JSON that is valid for this schema"),
        "response_format": {
            "anyOf": [
                record("type", type={"const": "text"}),
                record("type", type={"const": "json_object"}, schema=nullable("object")),
                record("type json_schema", type={"const": "json_schema"}, json_schema=record("schema", schema=_any())),
                {"type": "null"},
            ]
        },
    }


def _format() -> Schema:
    return {
        "anyOf": [
            record("type", type={"const": "text"}),
            record("type", type={"const": "json_object"}, schema=nullable("object")),
            record("type schema", type={"const": "json_schema"}, schema=_any()),
        ]
    }


def _any() -> Schema:
    return {"type": "object", "description": "a JSON schema; what can't be enforced is refused"}


def _stream_properties() -> dict[str, Schema]:
    return {"stream": FLAG, "stream_options": nullable("object", properties={"include_usage": FLAG})}


def _tokens() -> Schema:
    return listed(COUNT, minItems=1)


def _prompts() -> Schema:
    return listed({"anyOf": [{**TEXT, "minLength": 1}, _tokens()]}, minItems=1, maxItems=MAX_PROMPTS)


def _message_request(required: str) -> Schema:
    return record(
        required,
        model=nullable("string"),
        messages=listed(message_turn_schema(), minItems=1),
        system={"anyOf": [*content_options(("text",)), {"type": "null"}]},
        max_tokens={"type": "integer", "minimum": 1, "maximum": (1 << 63) - 1} if "max_tokens" in required else LIMIT,
        stop_sequences={"type": ["array", "null"], "items": {**TEXT, "minLength": 1}, "maxItems": MAX_STOP_STRINGS},
        stream=FLAG,
        **sampling_properties(),
        **message_tool_properties(),
    )
