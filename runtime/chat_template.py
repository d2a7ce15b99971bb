"""Messages to prompt text, with the model's own Jinja template; ChatML for models that bring none.

Templates are code from the model's author: they run in jinja2's immutable sandbox, with the names and options that
Hugging Face's ``apply_chat_template`` documents (``raise_exception``, ``strftime_now``, a ``tojson`` without HTML
escapes, loop controls, ``trim_blocks`` and ``lstrip_blocks``).
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NoReturn

from packer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jinja2 import Template, nodes
    from jinja2.parser import Parser

Message = dict[str, Any]
"""``{"role": "user", "content": "text"}``; other keys are passed to the template as they are."""

WHAT_TEMPLATES_RAISE = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class ChatTemplate:
    """A compiled template."""

    def __init__(
        self,
        source: str | None,
        *,
        bos_text: str = "",
        eos_text: str = "",
        strftime: Callable[[str], str] = time.strftime,
    ) -> None:
        """Compile ``source``, or ChatML for ``None``. Raises InputError when it is no valid template."""
        self.is_fallback = not source
        self._variables = {"bos_token": bos_text, "eos_token": eos_text}
        self._template = _compile(source or CHATML, strftime)

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt text that asks for the next reply.

        A template that refuses a system message gets it in front of the first user message instead. Raises
        InputError with the template's own words when it refuses the conversation.
        """
        try:
            return self._render(messages)
        except InputError:
            merged = merge_system_message(messages)
            if merged is None:
                raise
            return self._render(merged)

    def _render(self, messages: Sequence[Message]) -> str:
        from jinja2 import TemplateError

        variables = {**self._variables, "add_generation_prompt": True, "tools": None, "documents": None}
        try:
            return self._template.render(messages=list(messages), **variables)
        except (TemplateError, *WHAT_TEMPLATES_RAISE) as error:
            raise InputError(f"the model's chat template refuses these messages: {error}") from error


def merge_system_message(messages: Sequence[Message]) -> list[Message] | None:
    """Move a leading system message into the first user message; ``None`` when there is nothing to move."""
    if len(messages) < 2 or messages[0].get("role") != "system" or messages[1].get("role") != "user":
        return None
    merged = f"{messages[0]['content']}\n\n{messages[1]['content']}"
    return [{**messages[1], "content": merged}, *messages[2:]]


def _compile(source: str, strftime: Callable[[str], str]) -> Template:
    from jinja2 import TemplateSyntaxError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _generation_extension()]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = strftime
    try:
        return environment.from_string(source)
    except TemplateSyntaxError as error:
        raise InputError(f"the model's chat template is broken in line {error.lineno}: {error.message}") from error


def _tojson(value: Any, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, **options)


def _raise_exception(message: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _generation_extension() -> type[Any]:
    """Accept ``{% generation %}...{% endgeneration %}``, which marks replies for training, as its plain content."""
    from jinja2.ext import Extension

    class GenerationTag(Extension):
        tags = {"generation"}  # noqa: RUF012 - the attribute is jinja2's

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    return GenerationTag
