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

FAMILIES = {
    "chatml": None,
    "qwen2.5": "Qwen-Qwen2.5-7B-Instruct",
    "hermes": "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "llama3.1": "meta-llama-Llama-3.1-8B-Instruct",
    "mistral-nemo": "mistralai-Mistral-Nemo-Instruct-2407",
    "mistral-small": "Mistral-Small-3.2-24B-Instruct-2506",
    "deepseek-v3.1": "deepseek-ai-DeepSeek-V3.1",
    "functionary": "meetkai-functionary-medium-v3.1",
    "granite": "ibm-granite-granite-4.0",
    "gemma2": "google-gemma-2-2b-it",
    "gemma4": "google-gemma-4-31B-it",
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
HI = [{"role": "user", "content": "Hello"}]


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
            tiny.write_tiny_model(path, template=source, marks=marks_of(source), layers=1)
        return path

    return make


@pytest.fixture
def client_of(open_engine: Callable[..., RealEngine], models: Callable[..., Path]) -> Callable[[str], FlaskClient]:
    """Starts an engine on the model of a family and returns a client of its API."""

    def start(family: str) -> FlaskClient:
        return open_engine(models(family), context_size=2048).client()

    return start


def ask(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    body = {"messages": HI, "tools": TOOLS, "temperature": 1.0, "max_tokens": 400, "enable_thinking": False, **fields}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: dict[str, Any] = answer.get_json()
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_required_call_is_well_formed(client_of: Callable[[str], FlaskClient], family: str) -> None:
    client = client_of(family)
    called = set()
    for seed in range(6):
        body = ask(client, tool_choice="required", parallel_tool_calls=False, seed=seed)
        choice = body["choices"][0]
        assert choice["finish_reason"] == "tool_calls", body
        (call,) = choice["message"]["tool_calls"]
        assert call["id"]
        check_call(call["function"]["name"], call["function"]["arguments"])
        called.add(call["function"]["name"])
    assert called == {"get_weather", "switch_light"}


@pytest.mark.parametrize("family", ["chatml", "llama3.1", "mistral-nemo", "gemma2", "qwen3"])
def test_a_named_call_calls_that_tool(client_of: Callable[[str], FlaskClient], family: str) -> None:
    client = client_of(family)
    choice = {"type": "function", "function": {"name": "switch_light"}}
    for seed in range(3):
        body = ask(client, tool_choice=choice, parallel_tool_calls=False, seed=seed)
        (call,) = body["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "switch_light"
        check_call("switch_light", call["function"]["arguments"])
