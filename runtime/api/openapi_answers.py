"""JSON schemas of the bodies that this API answers with. They are closed: an answer has no field that is not here."""

from __future__ import annotations

from typing import Any

from runtime.api.logprobs import MAX_TOP_LOGPROBS
from runtime.api.openapi_parts import COUNT, INTEGER, TEXT, Schema, listed, nullable, record, reference

LOGPROB: Schema = {"type": "number"}
BYTES = listed({"type": "integer", "minimum": 0, "maximum": 255})
END: Schema = {"enum": ["stop", "length"]}
CHAT_END: Schema = {"enum": ["stop", "length", "tool_calls"]}
STATES: Schema = {"enum": ["in_progress", "completed", "incomplete"]}


def exact(**properties: Schema) -> Schema:
    """Describe an object with these fields, all of them and no others."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def closed(required: str, **properties: Schema) -> Schema:
    """Describe an object with no other fields than these, of which ``required`` are always there."""
    return {**record(required, **properties), "additionalProperties": False}


def or_null(schema: Schema) -> Schema:
    """Describe a value or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def answer_schemas() -> dict[str, Schema]:
    """Describe the bodies by name."""
    return {**_openai_schemas(), **_response_schemas(), **_message_schemas(), **_token_schemas(), **_own_schemas()}


def head(kind: str) -> dict[str, Schema]:
    """Describe the fields that begin each of OpenAI's answers and pieces of them."""
    return {"id": TEXT, "object": {"const": kind}, "created": INTEGER, "model": TEXT}


def _openai_schemas() -> dict[str, Schema]:
    token = {"token": TEXT, "logprob": LOGPROB, "bytes": BYTES}
    call = exact(id=TEXT, type={"const": "function"}, function=exact(name=TEXT, arguments=TEXT))
    reply = closed(
        "role content",
        role={"const": "assistant"},
        content=nullable("string"),
        reasoning_content=TEXT,
        tool_calls=listed(call, minItems=1),
    )
    chat_ended: dict[str, Any] = {"index": COUNT, "finish_reason": CHAT_END}
    ended: dict[str, Any] = {"index": COUNT, "finish_reason": END}
    return {
        "ChatCompletion": exact(
            **head("chat.completion"),
            choices=listed(exact(**chat_ended, message=reply, logprobs=or_null(reference("ChatLogprobs")))),
            usage=reference("Usage"),
        ),
        "ChatLogprobs": exact(content=listed(reference("TokenLogprobs")), refusal={"type": "null"}),
        "TokenLogprobs": exact(**token, top_logprobs=listed(exact(**token))),
        "Completion": exact(
            **head("text_completion"),
            choices=listed(exact(**ended, text=TEXT, logprobs=or_null(reference("CompletionLogprobs")))),
            usage=reference("Usage"),
        ),
        "CompletionLogprobs": exact(
            tokens=listed(TEXT),
            token_logprobs=listed(LOGPROB),
            top_logprobs=listed({"type": "object", "additionalProperties": LOGPROB}),
            text_offset=listed(COUNT),
        ),
        "EmbeddingList": exact(
            object={"const": "list"},
            data=listed(
                exact(
                    object={"const": "embedding"}, index=COUNT, embedding={"anyOf": [listed({"type": "number"}), TEXT]}
                )
            ),
            model=TEXT,
            usage=exact(prompt_tokens=COUNT, total_tokens=COUNT),
        ),
        "Usage": exact(
            prompt_tokens=COUNT,
            completion_tokens=COUNT,
            total_tokens=COUNT,
            prompt_tokens_details=exact(cached_tokens=COUNT),
            completion_tokens_details=exact(reasoning_tokens=COUNT),
        ),
        "Error": exact(
            error=exact(message=TEXT, type=TEXT, param=nullable("string"), code=nullable("string")),
        ),
    }


def _response_schemas() -> dict[str, Schema]:
    usage = exact(
        input_tokens=COUNT,
        input_tokens_details=exact(cached_tokens=COUNT),
        output_tokens=COUNT,
        output_tokens_details=exact(reasoning_tokens=COUNT),
        total_tokens=COUNT,
    )
    nothing: Schema = {"type": "null"}
    return {
        "Response": exact(
            id=TEXT,
            object={"const": "response"},
            created_at=INTEGER,
            status=STATES,
            background={"const": False},
            error=nothing,
            incomplete_details=or_null(exact(reason={"const": "max_output_tokens"})),
            instructions=nullable("string"),
            max_output_tokens=nullable("integer"),
            metadata={"type": "object"},
            model=TEXT,
            output=listed(reference("OutputItem")),
            parallel_tool_calls={"type": "boolean"},
            previous_response_id=nothing,
            reasoning=exact(effort=nullable("string"), summary=nothing),
            store={"const": False},
            temperature=nullable("number"),
            text=exact(format={"type": "object"}),
            tool_choice={"type": ["string", "object"]},
            tools=listed({"type": "object"}),
            top_logprobs={**COUNT, "maximum": MAX_TOP_LOGPROBS},
            top_p=nullable("number"),
            truncation={"const": "disabled"},
            usage=or_null(usage),
        ),
        "OutputItem": {"anyOf": _output_items()},
        "OutputPart": exact(
            type={"const": "output_text"},
            text=TEXT,
            annotations=listed({}, maxItems=0),
            logprobs=listed(reference("TokenLogprobs")),
        ),
    }


def _output_items() -> list[Schema]:
    """Describe what a model response consists of."""
    own = {"id": TEXT, "status": STATES}
    thought = exact(type={"const": "reasoning_text"}, text=TEXT)
    return [
        exact(type={"const": "message"}, **own, role={"const": "assistant"}, content=listed(reference("OutputPart"))),
        exact(type={"const": "reasoning"}, **own, summary=listed({}, maxItems=0), content=listed(thought)),
        exact(type={"const": "function_call"}, **own, call_id=TEXT, name=TEXT, arguments=TEXT),
    ]


def _message_schemas() -> dict[str, Schema]:
    return {
        "Message": exact(
            id=TEXT,
            type={"const": "message"},
            role={"const": "assistant"},
            model=TEXT,
            content=listed(reference("ContentBlock")),
            **message_ending(),
            usage=reference("MessageUsage"),
        ),
        "ContentBlock": {
            "anyOf": [
                exact(type={"const": "text"}, text=TEXT),
                exact(type={"const": "thinking"}, thinking=TEXT, signature=TEXT),
                exact(type={"const": "tool_use"}, id=TEXT, name=TEXT, input={"type": "object"}),
            ]
        },
        "MessageUsage": exact(
            input_tokens=COUNT,
            cache_creation_input_tokens=COUNT,
            cache_read_input_tokens=COUNT,
            output_tokens=COUNT,
        ),
        "MessageError": exact(type={"const": "error"}, error=exact(type=TEXT, message=TEXT)),
    }


def message_ending() -> dict[str, Schema]:
    """Describe the fields that say why a message ended."""
    reasons: Schema = {"enum": ["end_turn", "max_tokens", "stop_sequence", "tool_use"]}
    return {"stop_reason": reasons, "stop_sequence": nullable("string")}


def _token_schemas() -> dict[str, Schema]:
    piece = exact(id=COUNT, piece={"anyOf": [TEXT, BYTES]})
    return {
        "TokenCount": exact(input_tokens=COUNT),
        "Tokens": exact(tokens=listed({"anyOf": [COUNT, piece]})),
        "Text": exact(content=TEXT),
        "Prompt": exact(prompt=TEXT),
    }


def _own_schemas() -> dict[str, Schema]:
    """Describe what the program says of itself; what it says of model and machine may grow."""
    return {
        "Model": exact(
            id=TEXT,
            object={"const": "model"},
            created=INTEGER,
            owned_by=TEXT,
            type={"const": "model"},
            display_name=TEXT,
            created_at={**TEXT, "format": "date-time"},
        ),
        "ModelList": exact(
            object={"const": "list"},
            data=listed(reference("Model")),
            first_id=TEXT,
            last_id=TEXT,
            has_more={"const": False},
        ),
        "AdapterList": listed(exact(id=COUNT, name=TEXT, scale={"type": "number"})),
        "Status": exact(status={"const": "ok"}, device={"type": "object"}),
        "Loading": exact(status={"const": "loading"}, progress={"type": "number"}, stage=TEXT),
        "LoadFailure": exact(status={"const": "error"}, error=exact(message=TEXT)),
        "Stopping": exact(status={"const": "stopping"}),
        "Info": record(
            "title model device cpu_variant threads context address version chat sampling locked history",
            title=TEXT,
            model={"type": "object"},
            device={"type": "object"},
            cpu_variant=TEXT,
            threads={"type": "object"},
            context=nullable("object"),
            address=TEXT,
            version=TEXT,
            chat=record("system_prompt greeting starters", system_prompt=TEXT, greeting=TEXT, starters=listed(TEXT)),
            sampling={"type": "object"},
            locked=listed(TEXT),
            history=record("enabled", enabled={"type": "boolean"}),
        ),
    }
