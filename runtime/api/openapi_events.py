"""JSON schemas of the server-sent events of streamed answers.

An event's ``data`` is text; ``contentSchema`` (JSON Schema 2020-12, "Validation", section 8) describes the JSON in it.
"""

from __future__ import annotations

from runtime.api.openapi_answers import CHAT_END, END, LOGPROB, closed, exact, head, message_ending, or_null
from runtime.api.openapi_parts import COUNT, TEXT, Schema, listed, nullable, record, reference


def event_schemas() -> dict[str, Schema]:
    """Describe the events, and what is in them, by name."""
    return {
        "ChatCompletionEvent": _event("ChatCompletionChunk", "Error", end="[DONE]"),
        "ChatCompletionChunk": _openai_chunk(
            "chat.completion.chunk",
            end=CHAT_END,
            delta=_delta(),
            logprobs=or_null(reference("ChatLogprobs")),
        ),
        "CompletionEvent": _event("CompletionChunk", "Error", end="[DONE]"),
        "CompletionChunk": _openai_chunk(
            "text_completion", text=TEXT, logprobs=or_null(reference("CompletionLogprobs"))
        ),
        "ResponseStreamEvent": _event("ResponseEvent", named=True),
        "ResponseEvent": {"anyOf": _response_events()},
        "MessageStreamEvent": _event("MessageEvent", "MessageError", named=True),
        "MessageEvent": {"anyOf": _message_events()},
    }


def _event(*contents: str, end: str | None = None, named: bool = False) -> Schema:
    """Describe one event; ``end`` is what the last one holds instead of JSON."""
    schema = {"anyOf": [reference(name) for name in contents]}
    data: Schema = {**TEXT, "contentMediaType": "application/json", "contentSchema": schema}
    fields = {"data": data if end is None else {"anyOf": [{"const": end}, data]}}
    return record("event data", event=TEXT, **fields) if named else record("data", **fields)


def _delta() -> Schema:
    """Describe what a piece adds to a message; the arguments of a call come in pieces of their own."""
    function = closed("arguments", name=TEXT, arguments=TEXT)
    call = closed("index function", index=COUNT, id=TEXT, type={"const": "function"}, function=function)
    return closed(
        "", role={"const": "assistant"}, content=TEXT, reasoning_content=TEXT, tool_calls=listed(call, minItems=1)
    )


def _openai_chunk(kind: str, *, end: Schema = END, **choice: Schema) -> Schema:
    """Describe a piece; the last one has no choices but the usage, if that was asked for."""
    pieces = listed(exact(index=COUNT, **choice, finish_reason=or_null(end)))
    with_usage = exact(**head(kind), choices=listed({}, maxItems=0), usage=reference("Usage"))
    return {"anyOf": [exact(**head(kind), choices=pieces), with_usage]}


def _response_events() -> list[Schema]:
    item = {"output_index": COUNT, "item": reference("OutputItem")}
    place = {"item_id": TEXT, "output_index": COUNT, "content_index": COUNT}
    pair = {"token": TEXT, "logprob": LOGPROB}
    logprobs = listed(exact(**pair, top_logprobs=listed(exact(**pair))))
    states = ["created", "in_progress", "completed", "incomplete"]
    return [
        _numbered(*(f"response.{state}" for state in states), response=reference("Response")),
        _numbered("response.output_item.added", "response.output_item.done", **item),
        _numbered("response.content_part.added", "response.content_part.done", **place, part=reference("OutputPart")),
        _numbered("response.output_text.delta", **place, delta=TEXT, logprobs=logprobs),
        _numbered("response.output_text.done", **place, text=TEXT, logprobs=logprobs),
        _numbered("response.reasoning_text.delta", **place, delta=TEXT),
        _numbered("response.reasoning_text.done", **place, text=TEXT),
        _numbered("response.function_call_arguments.delta", item_id=TEXT, output_index=COUNT, delta=TEXT),
        _numbered("response.function_call_arguments.done", item_id=TEXT, output_index=COUNT, arguments=TEXT, name=TEXT),
        _numbered("error", code=nullable("string"), message=TEXT, param=nullable("string")),
    ]


def _numbered(*kinds: str, **fields: Schema) -> Schema:
    return exact(type={"enum": list(kinds)}, sequence_number=COUNT, **fields)


def _message_events() -> list[Schema]:
    nothing: Schema = {"type": "null"}
    start = exact(
        id=TEXT,
        type={"const": "message"},
        role={"const": "assistant"},
        model=TEXT,
        content=listed({}, maxItems=0),
        stop_reason=nothing,
        stop_sequence=nothing,
        usage=exact(input_tokens=COUNT, output_tokens=COUNT),
    )
    return [
        exact(type={"const": "message_start"}, message=start),
        exact(type={"const": "content_block_start"}, index=COUNT, content_block=reference("ContentBlock")),
        exact(
            type={"const": "content_block_delta"},
            index=COUNT,
            delta={
                "anyOf": [
                    exact(type={"const": "text_delta"}, text=TEXT),
                    exact(type={"const": "thinking_delta"}, thinking=TEXT),
                    exact(type={"const": "input_json_delta"}, partial_json=TEXT),
                ]
            },
        ),
        exact(type={"const": "content_block_stop"}, index=COUNT),
        exact(
            type={"const": "message_delta"},
            delta=exact(**message_ending()),
            usage=reference("MessageUsage"),
        ),
        exact(type={"const": "message_stop"}),
    ]
