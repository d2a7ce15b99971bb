"""Tool calls and reasoning on models of random weights: what the grammar alone makes of them, in several notations.

The templates are llama.cpp's collection, read from the sources that the runtime is built from.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runtime.chat_template import ChatOptions, ChatTemplate
from tests.support import tiny_model as tiny

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask.testing import FlaskClient

    from packer.runtimes.recipe import RuntimeParts
    from tests.support.real_engine import RealEngine

# Left out are models that llama.cpp's grammars hold to the notation of a call but not to its schema, such as those that
# write arguments between tags instead of as JSON.
FAMILIES = {
    "chatml": None,
    "qwen2.5": "Qwen-Qwen2.5-7B-Instruct",
    "hermes": "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "llama3.1": "meta-llama-Llama-3.1-8B-Instruct",
    "mistral-nemo": "mistralai-Mistral-Nemo-Instruct-2407",
    "deepseek-v3.1": "deepseek-ai-DeepSeek-V3.1",
    "deepseek-r1": "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "deepseek-r1-llama": "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
    "functionary": "meetkai-functionary-medium-v3.1",
    "granite": "ibm-granite-granite-4.0",
    "gemma2": "google-gemma-2-2b-it",
    "phi3.5": "microsoft-Phi-3.5-mini-instruct",
    "qwen3": "Qwen-Qwen3-0.6B",
}
WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
SWITCH = {
    "type": "object",
    "properties": {"rooms": {"type": "array", "items": {"enum": ["hall", "attic"]}, "minItems": 1, "maxItems": 2}},
    "required": ["rooms"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Looks.", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "switch_light", "parameters": SWITCH}},
]
ENDS_REASONING = {"deepseek-r1": {"</think>": 100}, "deepseek-r1-llama": {"</think>": 100}}
"""Models whose prompt begins the reasoning would go on with it for very long."""
HI = [{"role": "system", "content": "Help."}, {"role": "user", "content": "Hello"}]


def check_call(name: str, arguments: str) -> None:
    """A call is well-formed: a known tool, and arguments that its schema allows."""
    found = json.loads(arguments)
    if name == "get_weather":
        assert set(found) == {"city", "days"}
        assert found["city"] in {"Paris", "Rome"}
        assert type(found["days"]) is int
        assert 0 <= found["days"] <= 9
    else:
        assert name == "switch_light"
        assert set(found) == {"rooms"}
        assert 1 <= len(found["rooms"]) <= 2
        assert set(found["rooms"]) <= {"hall", "attic"}


def marks_of(source: str | None) -> list[str]:
    """The texts that are control tokens in the models of this template."""
    template = ChatTemplate(source, bos_text="<s>", eos_text="</s>")
    plans = [template.plan(HI, ChatOptions(tools=tuple(TOOLS), tool_choice="required")), template.plan(HI)]
    return sorted({mark for plan in plans for mark in plan.shown_tokens if not mark.isspace()})


@pytest.fixture(scope="session")
def models(
    runtime_parts: RuntimeParts, library: object, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Makes a random model for a family's template, once."""
    directory = tmp_path_factory.mktemp("families")

    def make(family: str) -> Path:
        path = directory / f"{family}.gguf"
        if not path.exists():
            name = FAMILIES[family]
            folder = runtime_parts.tools.sources.llama_cpp / "models" / "templates"
            source = None if name is None else (folder / f"{name}.jinja").read_text(encoding="utf-8")
            tiny.write_tiny_model(path, template=source, marks=marks_of(source), layers=1, context_length=4096)
        return path

    return make


@pytest.fixture
def client_of(open_engine: Callable[..., RealEngine], models: Callable[..., Path]) -> Callable[[str], FlaskClient]:
    """Starts an engine on the model of a family and returns a client of its API."""

    def start(family: str) -> FlaskClient:
        return open_engine(models(family), context_size=4096).client()

    return start


def ask(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    body = {"messages": HI, "tools": TOOLS, "temperature": 1.0, "max_tokens": 1200, "enable_thinking": False, **fields}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: dict[str, Any] = answer.get_json()
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_required_call_is_well_formed(client_of: Callable[[str], FlaskClient], family: str) -> None:
    client = client_of(family)
    for seed in range(4):
        bias = ENDS_REASONING.get(family)
        body = ask(client, tool_choice="required", parallel_tool_calls=False, seed=seed, logit_bias=bias)
        choice = body["choices"][0]
        assert choice["finish_reason"] == "tool_calls", body
        (call,) = choice["message"]["tool_calls"]
        assert call["id"]
        check_call(call["function"]["name"], call["function"]["arguments"])


@pytest.mark.parametrize("family", ["chatml", "llama3.1", "mistral-nemo", "gemma2", "qwen3"])
def test_a_named_call_calls_that_tool(client_of: Callable[[str], FlaskClient], family: str) -> None:
    client = client_of(family)
    choice = {"type": "function", "function": {"name": "switch_light"}}
    for seed in range(3):
        body = ask(client, tool_choice=choice, parallel_tool_calls=False, seed=seed)
        (call,) = body["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "switch_light"
        check_call("switch_light", call["function"]["arguments"])


def test_an_automatic_call_is_constrained_from_its_first_token_on(client_of: Callable[[str], FlaskClient]) -> None:
    """The mark of a call is made so likely that the model begins with it; what follows is up to the grammar."""
    client = client_of("qwen2.5")
    for seed in range(3):
        body = ask(client, seed=seed, logit_bias={"<tool_call>": 100}, parallel_tool_calls=False)
        message = body["choices"][0]["message"]
        for call in message.get("tool_calls", [])[:1]:
            check_call(call["function"]["name"], call["function"]["arguments"])


def test_without_a_call_the_reply_is_text(client_of: Callable[[str], FlaskClient]) -> None:
    body = ask(client_of("qwen2.5"), max_tokens=12, seed=1)
    choice = body["choices"][0]
    assert choice["finish_reason"] in {"stop", "length"}
    assert choice["message"]["content"]
    assert "tool_calls" not in choice["message"]


def test_streamed_calls_add_up_to_the_whole_ones(client_of: Callable[[str], FlaskClient]) -> None:
    client = client_of("llama3.1")
    fields = {"tool_choice": "required", "parallel_tool_calls": False, "seed": 3}
    whole = ask(client, **fields)["choices"][0]["message"]["tool_calls"][0]["function"]
    body = {"messages": HI, "tools": TOOLS, "temperature": 1.0, "max_tokens": 1200, "stream": True, **fields}
    answer = client.post("/v1/chat/completions", json=body).get_data(as_text=True)
    chunks = [json.loads(line.removeprefix("data: ")) for line in answer.split("\n\n") if line.startswith("data: {")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert calls[0]["function"]["name"] == whole["name"]
    assert calls[0]["type"] == "function"
    assert "".join(call["function"]["arguments"] for call in calls) == whole["arguments"]
    assert len(calls) > 3
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_reasoning_is_told_apart(client_of: Callable[[str], FlaskClient]) -> None:
    """The end of reasoning is banned at first and certain later, by two requests that differ in nothing else."""
    client = client_of("qwen3")
    fields: dict[str, Any] = {"tools": None, "enable_thinking": True, "max_tokens": 24, "seed": 5}
    thinking = ask(client, **fields, logit_bias={"<think>": 100, "</think>": False})["choices"][0]["message"]
    assert thinking["content"] == ""
    answering = ask(client, **fields, logit_bias={"<think>": False})["choices"][0]["message"]
    assert answering["content"]
    assert "reasoning_content" not in answering


@pytest.mark.parametrize("family", ["qwen2.5", "qwen3"])
def test_an_answer_that_the_messages_begin_is_continued(client_of: Callable[[str], FlaskClient], family: str) -> None:
    client, begun = client_of(family), {"role": "assistant", "content": "The sea is"}
    prompt = client.post("/apply-template", json={"messages": [*HI, begun]}).get_json()["prompt"]
    assert prompt.endswith("The sea is")
    whole = client.post("/apply-template", json={"messages": HI, "enable_thinking": False}).get_json()["prompt"]
    assert prompt == whole + "The sea is"
    body = {"messages": [*HI, begun], "max_tokens": 8, "temperature": 0}
    said = client.post("/v1/chat/completions", json=body).get_json()["choices"][0]["message"]["content"]
    plain = {"prompt": prompt, "max_tokens": 8, "temperature": 0}
    assert said == client.post("/v1/completions", json=plain).get_json()["choices"][0]["text"]
    claude = {**body, "system": HI[0]["content"], "messages": [HI[1], begun]}
    blocks = client.post("/v1/messages", json=claude).get_json()["content"]
    assert "".join(block["text"] for block in blocks) == said
    turns = [*HI, begun, {"role": "user", "content": "And?"}]
    assert "The sea is<|im_end|>" in client.post("/apply-template", json={"messages": turns}).get_json()["prompt"]
    closed = client.post("/apply-template", json={"messages": [*HI, begun], "tools": TOOLS}).get_json()["prompt"]
    assert "The sea is<|im_end|>" in closed
    form = {"response_format": {"type": "json_object"}, "max_tokens": 40}
    assert client.post("/v1/chat/completions", json={**body, **form}).status_code == 200


def test_a_schema_holds_behind_reasoning(client_of: Callable[[str], FlaskClient]) -> None:
    client = client_of("qwen3")
    form = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}}
    for seed in range(3):
        fields = {"tools": None, "enable_thinking": True, "response_format": form, "seed": seed}
        message = ask(client, **fields, logit_bias={"</think>": 100})["choices"][0]["message"]
        check_call("get_weather", message["content"])


def test_a_conversation_with_calls_and_results(client_of: Callable[[str], FlaskClient]) -> None:
    arguments = json.dumps({"city": "Paris", "days": 3})
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    messages = [
        *HI,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    for family in ("chatml", "llama3.1", "gemma2"):
        client = client_of(family)
        ask(client, messages=messages, max_tokens=3)
        prompt = client.post("/apply-template", json={"messages": messages, "tools": TOOLS}).get_json()["prompt"]
        assert prompt.index("Hello") < prompt.rindex("Paris") < prompt.rindex("rain")
