"""JSON schemas of request and response bodies, made from the same tables that requests are checked with."""

from __future__ import annotations

from runtime.api.chat_request import MAX_CHOICES
from runtime.api.completions import MAX_PROMPTS
from runtime.api.fields import MAX_STOP_STRINGS
from runtime.api.generation_fields import INTEGERS, MAX_BREAKERS, NUMBERS
from runtime.api.logprobs import MAX_TOP_LOGPROBS
from runtime.api.openapi_parts import (
    COUNT,
    FLAG,
    INTEGER,
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
    chat_reply_schema,
    chat_tool_properties,
    input_item_schema,
    message_content_schema,
    message_tool_properties,
    message_turn_schema,
    response_tool_properties,
)

LOGPROBS = nullable("integer", minimum=0, maximum=MAX_TOP_LOGPROBS)


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
            **chat_tool_properties(),
        ),
        "ChatMessage": chat_message_schema(),
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
            **response_tool_properties(),
        ),
        "InputMessage": input_item_schema(),
        "MessageRequest": _message_request("messages max_tokens"),
        "CountTokensRequest": _message_request("messages"),
        "TokenizeRequest": record("content", content=TEXT, add_special=FLAG, parse_special=FLAG, with_pieces=FLAG),
        "DetokenizeRequest": record("tokens", tokens=listed(COUNT)),
        "TemplateRequest": record(
            "messages", messages=listed(reference("ChatMessage"), minItems=1), **chat_tool_properties()
        ),
    }


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
    chat_end: Schema = {"enum": ["stop", "length", "tool_calls"]}
    choice = record("index message finish_reason", index=COUNT, message=chat_reply_schema(), finish_reason=chat_end)
    head = {"id": TEXT, "created": INTEGER, "model": TEXT}
    return {
        "ChatCompletion": record(
            "id object created model choices usage",
            **head,
            object={"const": "chat.completion"},
            choices=listed(choice),
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
            content=message_content_schema(),
            stop_reason={"enum": ["end_turn", "max_tokens", "stop_sequence", "tool_use"]},
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
        "Status": record("status", status=TEXT, progress={"type": "number"}, stage=TEXT),
        "Info": record("title model sampling locked", title=TEXT, sampling={"type": "object"}, locked=listed(TEXT)),
    }
