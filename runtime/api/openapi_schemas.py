"""JSON schemas of request and response bodies, made from the same tables that requests are checked with."""

from __future__ import annotations

from typing import Any

from runtime.api.chat_request import MAX_CHOICES, ROLES
from runtime.api.completions import MAX_PROMPTS
from runtime.api.fields import MAX_STOP_STRINGS
from runtime.api.generation_fields import INTEGERS, MAX_BREAKERS, NUMBERS
from runtime.api.logprobs import MAX_TOP_LOGPROBS
from runtime.api.responses import ROLES as INPUT_ROLES
from runtime.api.responses import TEXT_PARTS

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
LOGPROBS = nullable("integer", minimum=0, maximum=MAX_TOP_LOGPROBS)
LIMIT = nullable("integer", minimum=-1, maximum=(1 << 63) - 1, **{"not": {"const": 0}})


def request_schemas() -> dict[str, Schema]:
    """Describe the request bodies by name."""
    generation = {**sampling_properties(), **_output_properties()}
    return {
        "ChatRequest": record(
            "messages",
            model=nullable("string"),
            messages=listed(reference("ChatMessage"), minItems=1),
            max_tokens=LIMIT,
            max_completion_tokens=LIMIT,
            n=nullable("integer", minimum=1, maximum=MAX_CHOICES),
            logprobs=FLAG,
            top_logprobs=LOGPROBS,
            **_stream_properties(),
            **generation,
        ),
        "ChatMessage": {
            "anyOf": [
                record(
                    "role content",
                    role={"enum": sorted(ROLES - {"assistant"})},
                    content={"anyOf": _content(("text",))},
                ),
                record(
                    "role",
                    role={"const": "assistant"},
                    content={"anyOf": [*_content(("text",)), {"type": "null"}]},
                ),
            ]
        },
        "CompletionRequest": record(
            "prompt",
            model=nullable("string"),
            prompt={"anyOf": [{**TEXT, "minLength": 1}, _tokens(), _prompts()]},
            max_tokens=LIMIT,
            n=nullable("integer", minimum=1, maximum=MAX_CHOICES),
            logprobs=LOGPROBS,
            **_stream_properties(),
            **generation,
        ),
        "ResponseRequest": record(
            "input",
            model=nullable("string"),
            input={"anyOf": [TEXT, listed(reference("InputMessage"), minItems=1)]},
            instructions=nullable("string"),
            max_output_tokens=LIMIT,
            metadata=nullable("object"),
            stream=FLAG,
            text=nullable("object", properties={"format": {"anyOf": [_format(), {"type": "null"}]}}),
            **sampling_properties(),
        ),
        "InputMessage": _input_message(),
        "MessageRequest": _message_request("messages max_tokens"),
        "CountTokensRequest": _message_request("messages"),
        "TokenizeRequest": record("content", content=TEXT, add_special=FLAG, parse_special=FLAG, with_pieces=FLAG),
        "DetokenizeRequest": record("tokens", tokens=listed(COUNT)),
        "TemplateRequest": record("messages", messages=listed(reference("ChatMessage"), minItems=1)),
    }


def _input_message() -> Schema:
    return record(
        "role content",
        type={"const": "message"},
        role={"enum": list(INPUT_ROLES)},
        content={"anyOf": _content(TEXT_PARTS)},
    )


def sampling_properties() -> dict[str, Schema]:
    """Describe the sampling fields that every request takes."""
    numbers = {name: nullable("number", minimum=low, maximum=high) for name, (low, high) in NUMBERS.items()}
    integers = {name: nullable("integer", minimum=low, maximum=high) for name, (low, high) in INTEGERS.items()}
    breakers = {"type": ["array", "null"], "items": {**TEXT, "minLength": 1}, "maxItems": MAX_BREAKERS}
    return {**numbers, **integers, "dry_sequence_breakers": breakers}


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


def _content(kinds: tuple[str, ...]) -> list[Schema]:
    kind: Schema = {"enum": list(kinds)}
    return [TEXT, listed(record("type text", type=kind, text=TEXT))]


def _tokens() -> Schema:
    return listed(COUNT, minItems=1)


def _prompts() -> Schema:
    return listed({"anyOf": [{**TEXT, "minLength": 1}, _tokens()]}, minItems=1, maxItems=MAX_PROMPTS)


def _message_request(required: str) -> Schema:
    turn = record("role content", role={"enum": ["user", "assistant"]}, content={"anyOf": _content(("text",))})
    return record(
        required,
        model=nullable("string"),
        messages=listed(turn, minItems=1),
        system={"anyOf": [*_content(("text",)), {"type": "null"}]},
        max_tokens={"type": "integer", "minimum": 1, "maximum": (1 << 63) - 1} if "max_tokens" in required else LIMIT,
        stop_sequences={"type": ["array", "null"], "items": {**TEXT, "minLength": 1}, "maxItems": MAX_STOP_STRINGS},
        stream=FLAG,
        **sampling_properties(),
    )


def response_schemas() -> dict[str, Schema]:
    """Describe the response bodies by name."""
    usage = record(
        "prompt_tokens completion_tokens total_tokens",
        prompt_tokens=COUNT,
        completion_tokens=COUNT,
        total_tokens=COUNT,
        prompt_tokens_details=record("cached_tokens", cached_tokens=COUNT),
    )
    end: Schema = {"enum": ["stop", "length"]}
    reply = record("role content", role={"const": "assistant"}, content=TEXT)
    head = {"id": TEXT, "created": INTEGER, "model": TEXT}
    return {
        "ChatCompletion": record(
            "id object created model choices usage",
            **head,
            object={"const": "chat.completion"},
            choices=listed(record("index message finish_reason", index=COUNT, message=reply, finish_reason=end)),
            usage=usage,
        ),
        "Completion": record(
            "id object created model choices usage",
            **head,
            object={"const": "text_completion"},
            choices=listed(record("index text finish_reason", index=COUNT, text=TEXT, finish_reason=end)),
            usage=usage,
        ),
        "Response": record(
            "id object created_at status model output usage",
            id=TEXT,
            object={"const": "response"},
            created_at=INTEGER,
            status={"enum": ["completed", "incomplete"]},
            model=TEXT,
            output=listed({"type": "object"}),
            usage=record("input_tokens output_tokens", input_tokens=COUNT, output_tokens=COUNT),
        ),
        "Message": record(
            "id type role model content stop_reason usage",
            id=TEXT,
            type={"const": "message"},
            role={"const": "assistant"},
            model=TEXT,
            content=listed(record("type text", type={"const": "text"}, text=TEXT)),
            stop_reason={"enum": ["end_turn", "max_tokens"]},
            usage=record("input_tokens output_tokens", input_tokens=COUNT, output_tokens=COUNT),
        ),
        **_small_schemas(),
    }


def _small_schemas() -> dict[str, Schema]:
    """Describe errors, tokens and what the program says of itself."""
    error = record("message", message=TEXT, type=TEXT, param=nullable("string"), code=nullable("string"))
    piece = record("id piece", id=COUNT, piece={"anyOf": [TEXT, listed(COUNT)]})
    return {
        "Error": record("error", error=error),
        "MessageError": record(
            "type error", type={"const": "error"}, error=record("type message", type=TEXT, message=TEXT)
        ),
        "TokenCount": record("input_tokens", input_tokens=COUNT),
        "Tokens": record("tokens", tokens=listed({"anyOf": [COUNT, piece]})),
        "Text": record("content", content=TEXT),
        "Prompt": record("prompt", prompt=TEXT),
        "Model": record("id object", id=TEXT, object={"const": "model"}, created=INTEGER, owned_by=TEXT),
        "ModelList": record("object data", object={"const": "list"}, data=listed(reference("Model"))),
        "Status": record("status", status=TEXT, progress={"type": "number"}, stage=TEXT, device={"type": "object"}),
        "Info": record("title model sampling locked", title=TEXT, sampling={"type": "object"}, locked=listed(TEXT)),
    }
