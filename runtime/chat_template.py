"""Messages to prompt text, and how the reply is to be generated and read, by the model's own chat template.

The work is llama.cpp's (``common/chat.cpp``, through ``runtime.chat_library``): it renders the template, finds out how
the model writes tool calls and reasoning, and makes the grammar and the parser for that. A model without a template
gets ChatML; one whose template knows no tools gets them described in text (``runtime.tool_fallback``).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from packer.errors import InputError
from runtime.chat_library import ChatLibraryError, load_chat_library
from runtime.engine.sampling import LazyGrammar
from runtime.tool_fallback import describe_tools, fallback_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.chat_library import ChatLibrary, NativeParser, NativeTemplate

Message = dict[str, Any]
"""``{"role": "user", "content": "text"}`` and the other fields of OpenAI's chat messages."""
Tool = dict[str, Any]
"""``{"type": "function", "function": {"name": ..., "description": ..., "parameters": {...}}}``."""

REASONING_FORMAT = "auto"
PROBE_TOOL: Tool = {
    "type": "function",
    "function": {"name": "probe", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}},
}
CONTENT_RULE = re.compile(r"until-\d+\?? *")
SPECIAL_CHARACTERS = re.compile(r"[.^$|()*+?\[\]{}\\]")


@dataclass(frozen=True, kw_only=True)
class ChatOptions:
    """What a request says about the template. ``only_tool`` names the tool that has to be called.

    ``parallel_tool_calls`` ``None`` leaves it to the model; ``json_schema`` is the schema of the answer, behind
    reasoning if there is any; ``variables`` are handed to the template by name.
    """

    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["auto", "none", "required"] = "auto"
    only_tool: str | None = None
    parallel_tool_calls: bool | None = None
    enable_thinking: bool = True
    json_schema: dict[str, Any] | None = None
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def may_call(self) -> bool:
        """Whether the reply may call tools."""
        return bool(self.tools) and self.tool_choice != "none"


@dataclass(frozen=True, kw_only=True)
class ReplyFormat:
    """How a reply is read: llama.cpp's parser for it."""

    library: ChatLibrary
    state: dict[str, Any]

    def open(self) -> NativeParser:
        """Begin to read a reply."""
        return self.library.open_parser(self.state)


@dataclass(frozen=True, kw_only=True)
class ChatPlan:
    """A rendered prompt and everything that follows from how it was rendered.

    ``grammar`` holds for ``generation_prompt``, the end of the prompt, and the reply, or with ``lazy`` from a trigger
    on. ``thoughts_end`` ends the thoughts that the prompt begins, if it does. ``shown_tokens`` are texts that the reply
    shows if they are control tokens. ``reply_format`` is ``None`` where the reply is plain text.
    """

    prompt: str
    generation_prompt: str = ""
    grammar: str | None = None
    lazy: LazyGrammar | None = None
    shown_tokens: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    thinks: bool = False
    thoughts_end: str = ""
    reply_format: ReplyFormat | None = None

    def begun_with(self, answer: str) -> ChatPlan:
        """Return the plan for an answer that begins with ``answer``: the rest is text, and the thinking is over."""
        return replace(self, prompt=self.prompt + self.thoughts_end + answer, shown_tokens=(), reply_format=None)


class ChatTemplate:
    """A compiled template."""

    def __init__(
        self,
        source: str | None,
        *,
        tool_source: str | None = None,
        bos_text: str = "",
        eos_text: str = "",
        library: ChatLibrary | None = None,
    ) -> None:
        """Compile ``source``, or ChatML for ``None``; ``tool_source`` is used where there are tools.

        Raises InputError when it is no valid template.
        """
        self.is_fallback = not source
        self._library = library or load_chat_library()
        self._tokens = {"bos_token": bos_text, "eos_token": eos_text}
        self._plain, self._parallel = self._compile(source or "")
        self._with_tools = self._plain
        if tool_source:
            self._with_tools, self._parallel = self._compile(tool_source)

    def plan(self, messages: Sequence[Message], options: ChatOptions | None = None) -> ChatPlan:
        """Render the prompt that asks for the next reply.

        A template that refuses a system message gets it in front of the first user message instead. Raises InputError
        with the template's own words when it refuses the conversation.
        """
        wanted = options or ChatOptions()
        try:
            return self._plan(messages, wanted)
        except InputError:
            merged = merge_system_message(messages)
            if merged is None:
                raise
            return self._plan(merged, wanted)

    def _compile(self, source: str) -> tuple[NativeTemplate, bool]:
        try:
            template = self._library.open_template({"source": source, **self._tokens})
        except ChatLibraryError as error:
            raise InputError(f"the model's chat template is broken: {error}") from error
        return template, template.caps.get("supports_parallel_tool_calls", False)

    def _plan(self, messages: Sequence[Message], options: ChatOptions) -> ChatPlan:
        if not options.tools and not any("tool_calls" in one or one["role"] == "tool" for one in messages):
            return self._make(self._apply(self._plain, messages, options), options)
        if self._knows_tools:
            return self._make(self._apply(self._with_tools, messages, options), options)
        described = describe_tools(messages, options.tools if options.may_call else ())
        rendered = self._apply(self._plain, described, ChatOptions(enable_thinking=options.enable_thinking))
        if not options.may_call:
            return self._make(rendered, options)
        fallback = self._apply(self._fallback, [{"role": "user", "content": ""}], options)
        return self._make({**fallback, "prompt": rendered["prompt"], "additional_stops": []}, options)

    @functools.cached_property
    def _knows_tools(self) -> bool:
        """Whether the template shows tools to the model and llama.cpp knows how such a model calls them."""
        probe = ChatOptions(tools=(PROBE_TOOL,), tool_choice="required")
        try:
            return bool(self._apply(self._with_tools, [{"role": "user", "content": "x"}], probe)["grammar"])
        except InputError:
            return False

    @functools.cached_property
    def _fallback(self) -> NativeTemplate:
        facts = self._apply(self._plain, [{"role": "user", "content": "x"}], ChatOptions())
        end = next(iter(facts["thinking_end_tags"]), "")
        start = facts["thinking_start_tag"] if end else ""
        is_open = bool(start) and start in facts["generation_prompt"]
        source = fallback_template(reasoning_start=start, reasoning_end=end, begins_in_reasoning=is_open)
        return self._compile(source)[0]

    def _apply(self, template: NativeTemplate, messages: Sequence[Message], options: ChatOptions) -> dict[str, Any]:
        parallel = self._parallel if options.parallel_tool_calls is None else options.parallel_tool_calls
        request: dict[str, Any] = {
            "messages": list(messages),
            "tools": list(options.tools),
            "tool_choice": options.tool_choice,
            "parallel_tool_calls": parallel,
            "enable_thinking": options.enable_thinking,
            "reasoning_format": REASONING_FORMAT,
            "chat_template_kwargs": options.variables,
        }
        if options.only_tool is not None:
            request["only_tool"] = options.only_tool
        if options.json_schema is not None:
            request["json_schema"] = options.json_schema
        try:
            return template.apply(request)
        except ChatLibraryError as error:
            raise InputError(f"the model's chat template refuses these messages: {reason(str(error))}") from error

    def _make(self, applied: dict[str, Any], options: ChatOptions) -> ChatPlan:
        grammar = applied["grammar"] or None
        is_lazy = grammar is not None and applied["grammar_lazy"]
        if grammar is not None and options.may_call and options.tool_choice == "required":
            grammar = without_content(grammar)
        is_plain = (
            not options.may_call
            and not applied["supports_thinking"]
            and '"until","delimiters":["' not in (applied["parser"])
        )
        names = ("format", "parser", "generation_prompt")
        state = {name: applied[name] for name in names} | {"reasoning_format": REASONING_FORMAT}
        return ChatPlan(
            prompt=applied["prompt"],
            generation_prompt=applied["generation_prompt"],
            grammar=grammar,
            lazy=_lazy(applied) if is_lazy else None,
            shown_tokens=tuple(applied["preserved_tokens"]),
            stop=tuple(applied["additional_stops"]),
            thinks=applied["supports_thinking"],
            thoughts_end=_thoughts_end(applied),
            reply_format=None if is_plain else ReplyFormat(library=self._library, state=state),
        )


def _lazy(applied: dict[str, Any]) -> LazyGrammar:
    """Say what the grammar waits for; words are searched as they are."""
    patterns = []
    for trigger in applied["grammar_triggers"]:
        kind, value = trigger["type"], trigger["value"]
        if kind == "pattern_full":
            value = f"^{value.removeprefix('^').removesuffix('$')}$"
        patterns.append(SPECIAL_CHARACTERS.sub(r"\\\g<0>", value) if kind in {"word", "token"} else value)
    return LazyGrammar(
        patterns=tuple(patterns),
        reasoning_start=applied["thinking_start_tag"],
        reasoning_ends=tuple(applied["thinking_end_tags"]),
        begins_in_reasoning=bool(_thoughts_end(applied)),
    )


def _thoughts_end(applied: dict[str, Any]) -> str:
    """Return what ends the thoughts that the prompt ends inside of; empty where it does not."""
    start, ends = applied["thinking_start_tag"], applied["thinking_end_tags"]
    _before, opened, inside = applied["generation_prompt"].rpartition(start) if start else ("", "", "")
    return str(ends[0]) if opened and ends and not any(end in inside for end in ends) else ""


def without_content(grammar: str) -> str:
    """Remove the text that llama.cpp's grammars allow in front of a call that is required.

    With it a model that would rather talk could go on until it is cut off. Text in parentheses is left alone: there
    stands the reasoning.
    """
    lines = grammar.splitlines(keepends=True)
    for index, line in enumerate(lines):
        if not line.startswith("root ::= "):
            continue
        depth, kept, at = 0, "", 0
        for part in re.finditer(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|[()]|until-\d+\?? *', line):
            depth += {"(": 1, ")": -1}.get(part[0], 0)
            if depth == 0 and CONTENT_RULE.fullmatch(part[0]):
                kept, at = kept + line[at : part.start()], part.end()
        lines[index] = kept + line[at:]
    return "".join(lines)


def reason(message: str) -> str:
    """Return what is at the heart of llama.cpp's message: the text that the template raised."""
    return message.rpartition("Error: ")[2].removeprefix("Jinja Exception: ")


def merge_system_message(messages: Sequence[Message]) -> list[Message] | None:
    """Move a leading system message into the first user message; ``None`` when there is nothing to move."""
    if len(messages) < 2 or messages[0].get("role") != "system" or messages[1].get("role") != "user":
        return None
    system, said = f"{messages[0]['content']}\n\n", messages[1]["content"]
    merged = f"{system}{said}" if isinstance(said, str) else [{"type": "text", "text": system}, *said]
    return [{**messages[1], "content": merged}, *messages[2:]]
