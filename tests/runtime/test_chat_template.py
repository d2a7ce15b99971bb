"""Chat templates: the environment that models expect, the sandbox, the fallbacks."""

from __future__ import annotations

import pytest

from packer.errors import InputError
from runtime.chat_template import ChatTemplate, merge_system_message

USER = {"role": "user", "content": "hi"}
SYSTEM = {"role": "system", "content": "be kind"}


def render(source: str | None, *messages: dict[str, str], bos_text: str = "<s>", eos_text: str = "</s>") -> str:
    template = ChatTemplate(source, bos_text=bos_text, eos_text=eos_text, strftime=lambda pattern: f"[{pattern}]")
    return template.render(messages or (USER,))


def test_chatml_without_a_template() -> None:
    assert render(None, SYSTEM, USER) == (
        "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_variables_of_the_model() -> None:
    assert (
        render("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ add_generation_prompt }}") == "<s>hi</s>True"
    )


def test_blocks_leave_no_space_behind() -> None:
    source = (
        "{% for message in messages %}\n    {% if true %}\n[{{ message['role'] }}]\n    {% endif %}\n{% endfor %}\n"
    )
    assert render(source) == "[user]\n"


def test_loop_controls() -> None:
    skip, end = "{% if n == 1 %}{% continue %}{% endif %}", "{% if n == 3 %}{% break %}{% endif %}"
    source = "{% for n in range(9) %}" + skip + end + "{{ n }}{% endfor %}"
    assert render(source) == "02"


def test_tojson_has_no_html_escapes() -> None:
    assert render("{{ '<a> & é' | tojson }}") == '"<a> & é"'
    assert render("{{ {'b': [1], 'a': none} | tojson(indent=1) }}") == '{\n "b": [\n  1\n ],\n "a": null\n}'


def test_strftime_now() -> None:
    assert render("{{ strftime_now('%Y') }}") == "[%Y]"


def test_generation_blocks_are_plain_content() -> None:
    assert render("a{% generation %}b{{ 1 }}{% endgeneration %}c") == "ab1c"


def test_missing_tools_are_none() -> None:
    assert render("{% if tools is not none %}tools{% endif %}{% if documents %}x{% endif %}ok") == "ok"


def test_raise_exception_becomes_our_error() -> None:
    with pytest.raises(InputError, match="only user messages"):
        render("{{ raise_exception('only user messages') }}")


def test_a_system_message_that_is_refused_moves_to_the_user() -> None:
    source = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}"
    )
    assert render(source, SYSTEM, USER) == "be kind\n\nhi"


def test_merging_needs_a_system_message_and_a_user_message() -> None:
    assert merge_system_message([USER]) is None
    assert merge_system_message([SYSTEM]) is None
    assert merge_system_message([SYSTEM, {"role": "assistant", "content": "x"}]) is None


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{% for a in range(10 ** 9) %}{% endfor %}",
        "{{ 1 / 'a' }}",
        "{{ 1 / 0 }}",
        "{{ undefined_thing.attribute }}",
    ],
)
def test_hostile_or_broken_templates_are_refused(source: str) -> None:
    with pytest.raises(InputError, match="refuses these messages"):
        render(source)


def test_a_syntax_error_is_named() -> None:
    with pytest.raises(InputError, match="broken in line 2"):
        ChatTemplate("a\n{% if %}")
