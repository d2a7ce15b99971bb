"""The chat library through its C interface: bad input, hostile templates, and what it says of good ones."""

from __future__ import annotations

import ctypes
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from packer.errors import MachineError
from runtime import chat_library as binding
from runtime.chat_library import ChatLibraryError

if TYPE_CHECKING:
    from pathlib import Path

    from packer.toolchain.llama_cpp import BuildTools
    from runtime.chat_library import ChatLibrary, NativeTemplate

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
TOOL_TEMPLATES = ("Qwen-Qwen3-0.6B", "meta-llama-Llama-3.1-8B-Instruct", "openai-gpt-oss-120b", "google-gemma-4-31B-it")


def open_source(library: ChatLibrary, source: str) -> NativeTemplate:
    return library.open_template({"source": source, "bos_token": "<s>", "eos_token": "</s>"})


def upstream(tools: BuildTools, name: str) -> str:
    return (tools.sources.llama_cpp / "models" / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


def raw(library: ChatLibrary, function: str, data: bytes, *before: Any) -> Any:
    """Call a function with bytes that need not be JSON; return what it answers."""
    pointer = ctypes.c_void_p()
    after = (ctypes.byref(pointer),) if function.endswith("open") else ()
    try:
        return library.call(function, *before, data, len(data), *after)
    finally:
        if pointer.value:
            library.close(function.replace("open", "close"), pointer.value)


def test_a_library_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"missing\.so: can't be loaded"):
        binding.ChatLibrary(tmp_path / "missing.so")
    with pytest.raises(MachineError, match="can't be loaded"):
        binding.ChatLibrary(tmp_path)


def test_the_wrong_version_is_refused(
    build_tools: BuildTools, chat_library: ChatLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binding, "ABI_VERSION", 99)
    with pytest.raises(MachineError, match="expected version 99 of its interface, found 1"):
        binding.ChatLibrary(chat_library.path)


BROKEN = [b"", b"{", b"[]", b"5", b"null", b'"x"', b"\xff\xfe", b"{} x", b'{"source":5}', b"\0", b"[" * 100_000]


@pytest.mark.parametrize("data", BROKEN)
@pytest.mark.parametrize("function", ["packer_chat_template_open", "packer_chat_parser_open"])
def test_requests_that_are_none_are_refused(chat_library: ChatLibrary, function: str, data: bytes) -> None:
    if function == "packer_chat_parser_open" and b"source" in data:
        data = b'{"format":"x"}'
    with pytest.raises(ChatLibraryError):
        raw(chat_library, function, data)


@pytest.mark.parametrize(
    "request_fields",
    [
        {},
        {"messages": 5},
        {"messages": [5]},
        {"messages": [{}]},
        {"messages": [{"role": 5, "content": "x"}]},
        {"messages": [{"role": "user", "content": 5}]},
        {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"type": "function"}]}]},
        {"messages": [USER], "tools": 5},
        {"messages": [USER], "tools": [{"type": "function", "function": {}}]},
        {"messages": [USER], "tool_choice": "perhaps"},
        {"messages": [USER], "tools": [TOOL], "only_tool": "g"},
        {"messages": [USER], "reasoning_format": "x"},
        {"messages": [USER], "chat_template_kwargs": {"messages": 5}},
        {"messages": [USER], "json_schema": {"$ref": "#/nowhere"}},
        {"messages": [USER], "enable_thinking": "x"},
    ],
)
def test_conversations_that_are_none_are_refused(
    chat_library: ChatLibrary, build_tools: BuildTools, request_fields: dict[str, Any]
) -> None:
    template = open_source(chat_library, upstream(build_tools, "Qwen-Qwen3-0.6B"))
    with pytest.raises(ChatLibraryError):
        template.apply(request_fields)
    assert "hi" in template.apply({"messages": [USER]})["prompt"]


def test_mutated_requests_never_end_the_process(chat_library: ChatLibrary, build_tools: BuildTools) -> None:
    template = open_source(chat_library, upstream(build_tools, "Qwen-Qwen3-0.6B"))
    whole = json.dumps({"messages": [USER], "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": True})
    chosen = random.Random(5)
    outcomes = set()
    for _ in range(400):
        data = bytearray(whole.encode())
        for _change in range(chosen.randint(1, 4)):
            at = chosen.randrange(len(data))
            data[at : at + chosen.randint(0, 3)] = bytes(chosen.choices(b'{}[]",:0a\\\xff', k=chosen.randint(0, 3)))
        try:
            raw(chat_library, "packer_chat_template_apply", bytes(data), template.pointer)
            outcomes.add("answered")
        except ChatLibraryError:
            outcomes.add("refused")
    assert outcomes == {"answered", "refused"}


def test_mutated_templates_never_end_the_process(chat_library: ChatLibrary, build_tools: BuildTools) -> None:
    whole = upstream(build_tools, "Qwen-Qwen2.5-7B-Instruct")
    chosen = random.Random(7)
    outcomes = set()
    for _ in range(150):
        at = chosen.randrange(len(whole))
        cut = whole[:at] + chosen.choice(["", "{%", "}}", "(", "[", "'", " not ", "-", "|"]) + whole[at + 1 :]
        try:
            open_source(chat_library, cut).apply({"messages": [USER], "tools": [TOOL]})
            outcomes.add("answered")
        except ChatLibraryError as error:
            assert not error.is_limit
            outcomes.add("refused")
    assert outcomes == {"answered", "refused"}


DEEP = 100_000
HOSTILE = {
    "parentheses": "{{ " + "(" * DEEP + "1" + ")" * DEEP + " }}",
    "lists": "{{ " + "[" * DEEP + "1" + "]" * DEEP + " }}",
    "blocks": "{% if a %}" * 20_000,
    "text": "{{ 'a' * 10000000000 }}",
    "doubling": "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "a list in itself": "{% set l = [1] %}{% set _ = l.append(l) %}{{ l | tojson }}",
    "indent": "{{ 'a\\nb' | indent(1000000000) }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_reach_a_limit(chat_library: ChatLibrary, name: str) -> None:
    with pytest.raises(ChatLibraryError) as caught:
        open_source(chat_library, HOSTILE[name]).apply({"messages": [USER]})
    assert caught.value.is_limit
    assert str(caught.value).startswith("it ")


def test_a_template_that_never_ends_reaches_a_limit(chat_library: ChatLibrary) -> None:
    loop = "{% for a in range(9999) %}"
    with pytest.raises(ChatLibraryError, match="it takes too long"):
        open_source(chat_library, loop * 4 + "{% endfor %}" * 4).apply({"messages": [USER]})


def test_a_template_that_is_too_long_is_refused_with_the_numbers(chat_library: ChatLibrary) -> None:
    with pytest.raises(ChatLibraryError, match="it is 262145 bytes long; at most 262144 can be read"):
        open_source(chat_library, "x" * 262_145)


def test_failed_assertions_are_refusals(chat_library: ChatLibrary) -> None:
    """llama.cpp ends the process where an assertion fails; here that is an error like any other."""
    with pytest.raises(ChatLibraryError):
        chat_library.open_parser({"format": 2, "parser": '{"parsers":[],"rules":{},"root":5}'}).push("x", is_final=True)


@pytest.mark.parametrize("name", TOOL_TEMPLATES)
def test_replies_in_pieces_and_garbage_never_end_the_process(
    chat_library: ChatLibrary, build_tools: BuildTools, name: str
) -> None:
    applied = open_source(chat_library, upstream(build_tools, name)).apply({"messages": [USER], "tools": [TOOL]})
    state = {name: applied[name] for name in ("format", "parser", "generation_prompt")}
    chosen = random.Random(11)
    words = [
        *applied["preserved_tokens"],
        '{"name": "f", "arguments": {',
        "}",
        "[",
        '"',
        "\\",
        "\0",
        "é",
        "<",
        "\n",
        "to=functions.f",
    ]
    for _ in range(60):
        parser = chat_library.open_parser(state)
        for _piece in range(chosen.randint(1, 12)):
            parser.push(chosen.choice(words), is_final=False)
        assert set(parser.push("", is_final=True)) == {"deltas", "unparsed"}


def test_a_deeply_nested_call_is_no_stack_overflow(chat_library: ChatLibrary, build_tools: BuildTools) -> None:
    applied = open_source(chat_library, upstream(build_tools, "Qwen-Qwen3-0.6B")).apply(
        {"messages": [USER], "tools": [TOOL]}
    )
    parser = chat_library.open_parser({name: applied[name] for name in ("format", "parser", "generation_prompt")})
    nested = '<tool_call>\n{"name": "f", "arguments": {"x": ' + "[" * 200_000
    try:
        assert parser.push(nested, is_final=True)["deltas"] is not None
    except ChatLibraryError as error:
        assert error.is_limit


def test_nothing_of_a_request_is_printed(
    chat_library: ChatLibrary, build_tools: BuildTools, capfd: pytest.CaptureFixture[str]
) -> None:
    """Upstream tells the terminal which patterns its grammars don't know."""
    parameters = {"type": "object", "properties": {"x": {"type": "string", "pattern": "^(?=secret).*$"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    template = open_source(chat_library, upstream(build_tools, "Qwen-Qwen3-0.6B"))
    assert template.apply({"messages": [USER], "tools": [tool], "tool_choice": "required"})["grammar"]
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_only_the_interface_is_visible(chat_library: ChatLibrary) -> None:
    from elftools.elf.elffile import ELFFile

    with chat_library.path.open("rb") as stream:
        symbols = ELFFile(stream).get_section_by_name(".dynsym").iter_symbols()
        defined = {one.name for one in symbols if one["st_shndx"] != "SHN_UNDEF" and one.name}
    assert defined == set(binding.FUNCTIONS)
    assert chat_library.path.stat().st_size < 3_000_000


def test_it_needs_no_newer_c_library_than_the_others(chat_library: ChatLibrary) -> None:
    from packer.toolchain.c_library import needed_glibc_versions

    newest = max(tuple(map(int, version.split("."))) for version in needed_glibc_versions(chat_library.path))
    assert newest <= (2, 28)
