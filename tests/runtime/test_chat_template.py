"""Chat templates: what models expect of them, the fallbacks, and how replies are generated and read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from packer.errors import InputError
from runtime.chat_reply import ReplyReader, ToolCallDelta, ToolCallStart
from runtime.chat_template import ChatOptions, ChatTemplate, merge_system_message, without_content
from runtime.engine.sequence import TextDelta

if TYPE_CHECKING:
    from collections.abc import Callable

    from packer.toolchain.llama_cpp import BuildTools
    from runtime.chat_library import ChatLibrary
    from runtime.chat_template import ChatPlan

USER = {"role": "user", "content": "hi"}
SYSTEM = {"role": "system", "content": "be kind"}
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"place": {"enum": ["here", "there"]}}, "required": ["place"]},
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"place": "here"}'}}
CALLED = [USER, {"role": "assistant", "content": "", "tool_calls": [CALL]}]
RESULT = {"role": "tool", "tool_call_id": "call_1", "name": "look", "content": "a cat"}


@pytest.fixture
def compiled(chat_library: ChatLibrary) -> Callable[..., ChatTemplate]:
    def compile_source(source: str | None, **more: Any) -> ChatTemplate:
        return ChatTemplate(source, bos_text="<s>", eos_text="</s>", library=chat_library, **more)

    return compile_source


@pytest.fixture
def render(compiled: Callable[..., ChatTemplate]) -> Callable[..., str]:
    def render_messages(source: str | None, *messages: dict[str, Any]) -> str:
        return compiled(source).plan(messages or (USER,)).prompt

    return render_messages


@pytest.fixture
def upstream(build_tools: BuildTools, compiled: Callable[..., ChatTemplate]) -> Callable[[str], ChatTemplate]:
    """Compiles a template of llama.cpp's collection."""
    directory = build_tools.sources.llama_cpp / "models" / "templates"
    return lambda name: compiled((directory / f"{name}.jinja").read_text(encoding="utf-8"))


def read(plan: ChatPlan, reply: str) -> list[Any]:
    """The events of a reply that comes character by character, deltas of the same kind joined."""
    assert plan.reply_format is not None
    reader = ReplyReader(plan.reply_format.open())
    return [event for character in reply for event in reader.push(character)] + reader.finish()


def test_chatml_without_a_template(render: Callable[..., str]) -> None:
    assert render(None, SYSTEM, USER) == (
        "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_variables_of_the_model(render: Callable[..., str]) -> None:
    source = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ add_generation_prompt }}"
    assert render(source) == "<s>hi</s>True"


def test_blocks_leave_no_space_behind(render: Callable[..., str]) -> None:
    source = (
        "{% for message in messages %}\n    {% if true %}\n[{{ message['role'] }}]\n    {% endif %}\n{% endfor %}\n"
    )
    assert render(source) == "[user]\n"


def test_loop_controls(render: Callable[..., str]) -> None:
    skip, end = "{% if n == 1 %}{% continue %}{% endif %}", "{% if n == 3 %}{% break %}{% endif %}"
    source = "{% for n in range(9) %}" + skip + end + "{{ n }}{% endfor %}"
    assert render(source) == "02"


def test_tojson_has_no_html_escapes(render: Callable[..., str]) -> None:
    assert render("{{ '<a> & é' | tojson }}") == '"<a> & é"'


def test_strftime_now(render: Callable[..., str]) -> None:
    assert re.fullmatch(r"20\d\d", render("{{ strftime_now('%Y') }}"))


def test_generation_blocks_are_plain_content(render: Callable[..., str]) -> None:
    assert render("so {% generation %}b{{ 1 }}{% endgeneration %}c") == "so b1c"


def test_raise_exception_becomes_our_error(render: Callable[..., str]) -> None:
    with pytest.raises(InputError, match="refuses these messages: only user messages"):
        render("{{ raise_exception('only user messages') }}")


def test_a_system_message_that_is_refused_moves_to_the_user(render: Callable[..., str]) -> None:
    source = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}"
    )
    assert re.fullmatch(r"be kind\n+hi", render(source, SYSTEM, USER))


def test_merging_needs_a_system_message_and_a_user_message() -> None:
    assert merge_system_message([SYSTEM, USER]) == [{"role": "user", "content": "be kind\n\nhi"}]
    assert merge_system_message([USER]) is None
    assert merge_system_message([SYSTEM]) is None
    assert merge_system_message([SYSTEM, {"role": "assistant", "content": "x"}]) is None


@pytest.mark.parametrize(
    "source", ["{{ nothing(1) }}", "{{ messages | no_such_filter }}", "{{ [] | first | int(1,2) }}"]
)
def test_templates_that_fail_are_refused(render: Callable[..., str], source: str) -> None:
    with pytest.raises(InputError, match="refuses these messages"):
        render(source)


@pytest.mark.parametrize("source", ["a\n{% if %}", "{{ 'x", "{% endfor %}", "{% raw %}"])
def test_a_syntax_error_is_named(compiled: Callable[..., ChatTemplate], source: str) -> None:
    with pytest.raises(InputError, match=r"the model's chat template is broken: (?!std::exception)"):
        compiled(source)


def test_a_template_of_its_own_for_tools(compiled: Callable[..., ChatTemplate]) -> None:
    template = compiled("plain", tool_source="{% if tools %}{{ tools[0].function.name }}{% endif %}")
    assert template.plan([USER]).prompt == "plain"


def test_plain_replies_need_no_parser(compiled: Callable[..., ChatTemplate]) -> None:
    plan = compiled(None).plan([USER])
    assert plan.reply_format is None
    assert plan.grammar is None
    assert not plan.thinks


def test_the_prompt_shows_tools_where_the_template_does(upstream: Callable[[str], ChatTemplate]) -> None:
    prompt = upstream("Qwen-Qwen2.5-7B-Instruct").plan([USER], ChatOptions(tools=(TOOL,))).prompt
    assert '"name": "look"' in prompt
    assert "<tools>" in prompt


def test_an_automatic_call_waits_for_its_mark(upstream: Callable[[str], ChatTemplate]) -> None:
    plan = upstream("Qwen-Qwen3-0.6B").plan([USER], ChatOptions(tools=(TOOL,)))
    assert plan.lazy is not None
    assert plan.lazy.patterns[0].startswith("<tool_call>")
    assert plan.lazy.reasoning_start == "<think>"
    assert not plan.lazy.begins_in_reasoning
    assert "<tool_call>" in plan.shown_tokens


def test_a_prompt_that_begins_the_reasoning(upstream: Callable[[str], ChatTemplate]) -> None:
    plan = upstream("Qwen-QwQ-32B").plan([USER], ChatOptions(tools=(TOOL,)))
    assert plan.lazy is not None
    assert plan.lazy.begins_in_reasoning


def test_the_prompt_of_a_named_call_shows_every_tool(upstream: Callable[[str], ChatTemplate]) -> None:
    other = {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}}
    options = ChatOptions(tools=(TOOL, other), tool_choice="required", only_tool="other")
    plan = upstream("Qwen-Qwen2.5-7B-Instruct").plan([USER], options)
    assert "look" in plan.prompt
    assert plan.grammar is not None
    assert "look" not in plan.grammar


@pytest.mark.parametrize(
    ("family", "ending"),
    [
        ("Qwen-Qwen2.5-7B-Instruct", "<|im_start|>assistant\n"),
        ("Qwen-Qwen3-0.6B", "<think>\n\n</think>\n\n"),
        ("Qwen3-Coder", "<|im_start|>assistant\n"),
        ("llama-cpp-deepseek-r1", "<think>\n</think>"),
    ],
)
def test_the_rest_of_an_answer_is_text_behind_all_thoughts(
    upstream: Callable[[str], ChatTemplate], family: str, ending: str
) -> None:
    plan = upstream(family).plan([USER], ChatOptions(enable_thinking=False)).begun_with("The sea")
    assert plan.prompt.endswith(f"{ending}The sea")
    assert plan.reply_format is None


def test_thinking_can_be_switched_off(upstream: Callable[[str], ChatTemplate]) -> None:
    template = upstream("Qwen-Qwen3-0.6B")
    assert template.plan([USER], ChatOptions(enable_thinking=False)).prompt.endswith("<think>\n\n</think>\n\n")
    assert not template.plan([USER]).prompt.endswith("</think>\n\n")


def test_variables_reach_the_template(upstream: Callable[[str], ChatTemplate]) -> None:
    template = upstream("openai-gpt-oss-120b")
    assert "Reasoning: high" in template.plan([USER], ChatOptions(variables={"reasoning_effort": "high"})).prompt
    assert "Reasoning: medium" in template.plan([USER]).prompt


KNOWN = {
    "Qwen-Qwen3-0.6B": "<think>\nhm\n</think>\n\n<tool_call>\n"
    '{"name": "look", "arguments": {"place": "here"}}\n</tool_call>',
    "meta-llama-Llama-3.1-8B-Instruct": '{"name": "look", "parameters": {"place": "here"}}',
    "mistralai-Mistral-Nemo-Instruct-2407": '[TOOL_CALLS][{"name": "look", "arguments": {"place": "here"}, '
    '"id": "abcdefghi"}]',
    "openai-gpt-oss-120b": "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary "
    'to=functions.look <|constrain|>json<|message|>{"place": "here"}',
    "google-gemma-2-2b-it": '<tool_call>\n{"name": "look", "arguments": {"place": "here"}}\n</tool_call>',
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": 'hm\n</think>\n\n<tool_call>\n{"name": "look", "arguments": {"place": '
    '"here"}}\n</tool_call>',
}


@pytest.mark.parametrize("name", KNOWN)
def test_calls_are_found_in_the_notation_of_the_model(upstream: Callable[[str], ChatTemplate], name: str) -> None:
    plan = upstream(name).plan([USER], ChatOptions(tools=(TOOL,)))
    events = read(plan, KNOWN[name])
    (start,) = [event for event in events if isinstance(event, ToolCallStart)]
    assert start.name == "look"
    arguments = "".join(event.arguments for event in events if isinstance(event, ToolCallDelta))
    assert re.sub(r"\s", "", arguments) == '{"place":"here"}'
    assert not "".join(event.text for event in events if isinstance(event, TextDelta)).strip()
    thoughts = [event for event in events if type(event).__name__ == "ReasoningDelta"]
    assert "".join(event.text for event in thoughts).strip() == ("hm" if "hm" in KNOWN[name] else "")


@pytest.mark.parametrize(
    "name", ["google-gemma-2-2b-it", "microsoft-Phi-3.5-mini-instruct", "deepseek-ai-DeepSeek-R1-Distill-Llama-8B"]
)
def test_a_template_without_tools_gets_them_as_text(upstream: Callable[[str], ChatTemplate], name: str) -> None:
    template = upstream(name)
    plan = template.plan([SYSTEM, *CALLED, RESULT], ChatOptions(tools=(TOOL,)))
    assert plan.prompt.index("be kind") < plan.prompt.index("Looks.") < plan.prompt.index("a cat")
    assert plan.lazy is not None
    assert plan.lazy.patterns[0].startswith("<tool_call>")
    plain = template.plan([USER], ChatOptions(tools=(TOOL,), tool_choice="none"))
    assert "Looks." not in plain.prompt
    assert plain.grammar is None


def test_an_answer_by_a_schema_behind_reasoning(upstream: Callable[[str], ChatTemplate]) -> None:
    plan = upstream("Qwen-Qwen3-0.6B").plan([USER], ChatOptions(json_schema={"type": "object"}))
    assert plan.grammar is not None
    assert plan.lazy is None
    events = read(plan, '<think>\nhm\n</think>\n\n{"a": 1}')
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == '{"a": 1}'


def test_text_in_front_of_a_required_call_is_not_allowed() -> None:
    grammar = 'a ::= "x"\nroot ::= "(until-1" space ("<think>" until-4 "</think>")? until-12? calls\nuntil-12 ::= "y"\n'
    expected = grammar.replace("until-12? calls", "calls")
    assert without_content(grammar) == expected
