"""Builds libpacker-chat: llama.cpp's chat templates, tool-call grammars and reply parsers behind a small C interface.

The sources are llama.cpp's ``common/``, compiled beside our own in ``packer/chat_library`` by zig. Everything but the
interface is hidden, and nothing of libllama or ggml is linked: the little that the sources refer to is in
``upstream_needs.cpp``. In ``HOOKS`` single lines are added to the upstream text, where it recurses without a limit,
does the same work for each request, or prints what a request contains.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packer.errors import BuildError
from packer.toolchain import process
from packer.toolchain.build_cache import digest_of, digest_of_files
from packer.toolchain.llama_cpp import BuildTools, zig_version

if TYPE_CHECKING:
    from collections.abc import Callable

RECIPE = 1
SOURCE = Path(__file__).parent.parent / "chat_library"
UPSTREAM_DIRECTORIES = ("common", "include", "ggml/include", "vendor/nlohmann")
UPSTREAM_SOURCES = (
    "common/chat.cpp",
    "common/chat-auto-parser-generator.cpp",
    "common/chat-auto-parser-helpers.cpp",
    "common/chat-diff-analyzer.cpp",
    "common/chat-peg-parser.cpp",
    "common/json.cpp",
    "common/json-schema.cpp",
    "common/json-schema-to-grammar.cpp",
    "common/peg-parser.cpp",
    "common/trie.cpp",
    "common/unicode.cpp",
    "common/jinja/*.cpp",
    "common/parsers/*.cpp",
)
INCLUDES = ("common", "include", "ggml/include", "vendor")
FLAGS = (
    "-std=c++17", "-O2", "-g0", "-DNDEBUG", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden",
    "-ffunction-sections", "-fdata-sections",
)  # fmt: skip
OWN_FLAGS = ("-Wall", "-Wextra", "-Werror")
HOOKS_INCLUDE = '#include "hooks.h"\n'
CHECKPOINT = "packer_chat::checkpoint();"
HOOKS = (
    ("common/jinja/parser.cpp", "    const token & peek(size_t offset = 0) const {\n", CHECKPOINT),
    ("common/jinja/runtime.cpp", "value statement::execute(context & ctx) const {\n", CHECKPOINT),
    (
        "common/jinja/runtime.h",
        "static void gather_string_parts_recursive(const value & val, value_string & parts) {\n",
        CHECKPOINT,
    ),
    (
        "common/jinja/value.cpp",
        "static void value_to_json_internal(std::ostringstream & oss, const value & val, int curr_lvl, int indent, "
        "const std::string_view item_sep, const std::string_view key_sep) {\n",
        CHECKPOINT,
    ),
    ("common/jinja/value.cpp", "std::string value_to_string_repr(const value & val) {\n", CHECKPOINT),
    ("common/jinja/value.cpp", "void value_t::stats_t::mark_used(value & val, bool deep) {\n", CHECKPOINT),
    ("common/jinja/value.cpp", "static value from_json(const common_json & j, bool mark_input) {\n", CHECKPOINT),
    (
        "common/peg-parser.cpp",
        "common_peg_arena::parse(common_peg_parser_id id, common_peg_parse_context & ctx, size_t start) const {\n",
        CHECKPOINT,
    ),
    (
        "common/json-schema-to-grammar.cpp",
        "    std::string visit(const common_chat_schema & schema, const std::string & name) {\n",
        CHECKPOINT,
    ),
    ("common/json-schema-to-grammar.cpp", "    void check_errors() {\n", "_warnings.clear();"),
    (
        "common/chat-diff-analyzer.cpp",
        "void autoparser::analyze_template(const common_chat_template & tmpl) {\n",
        "if (packer_chat::recall_analysis(*this, tmpl)) { return; }",
    ),
)
"""File, a line that is there exactly once, and what is added after it; ``hooks.h`` declares the calls."""


@dataclass(frozen=True, kw_only=True)
class ChatLibraryRecipe:
    """How the library of a target is built: zig's name for it, our file for its system, how it is linked."""

    triple: str
    platform: str
    name: str
    link_flags: tuple[str, ...]


CHAT_LIBRARY_RECIPES = {
    "linux-x86_64": ChatLibraryRecipe(
        triple="x86_64-linux-gnu.2.28",
        platform="platform_posix.cpp",
        name="libpacker-chat.so",
        link_flags=("-Wl,-z,defs", "-Wl,--version-script=own/exports.map"),
    ),
    "windows-x86_64": ChatLibraryRecipe(
        triple="x86_64-windows-gnu", platform="platform_windows.cpp", name="packer-chat.dll", link_flags=()
    ),
}


def chat_library(tools: BuildTools, target: str, note: Callable[[str], None]) -> Path:
    """Return the library, building it when missing (a minute or two)."""
    recipe = CHAT_LIBRARY_RECIPES[target]
    own = [path for path in SOURCE.iterdir() if path.suffix in {".cpp", ".h", ".map"}]
    digest = digest_of(
        [
            RECIPE,
            [recipe.triple, recipe.platform, recipe.name, recipe.link_flags],
            [UPSTREAM_SOURCES, INCLUDES, FLAGS, OWN_FLAGS, HOOKS],
            digest_of_files(SOURCE, own),
            tools.sources.digests,
            zig_version(tools.environment),
        ]
    )

    def build(work: Path) -> None:
        note("compiling llama.cpp's chat templates")
        compile_chat_library(tools.environment.zig, tools.sources.llama_cpp, recipe, work / recipe.name)

    return tools.cache.get_or_build("chat-library", digest, build) / recipe.name


def compile_chat_library(zig: Path, llama_cpp: Path, recipe: ChatLibraryRecipe, output: Path) -> None:
    """Compile the library from the llama.cpp tree at ``llama_cpp`` into the file ``output``.

    All sources are compiled by relative names in a scratch directory, so that no path of this machine gets into the
    bytes.
    """
    scratch = output.with_name("objects")
    for name in UPSTREAM_DIRECTORIES:
        shutil.copytree(llama_cpp / name, scratch / name)
    shutil.copytree(SOURCE, scratch / "own")
    for name, line, added in HOOKS:
        add_hook(scratch / name, line, added)
    own = ["own/hooks.cpp", "own/budget.cpp", "own/chat_abi.cpp", "own/upstream_needs.cpp", f"own/{recipe.platform}"]
    upstream = sorted(
        path.relative_to(scratch).as_posix() for pattern in UPSTREAM_SOURCES for path in scratch.glob(pattern)
    )
    compiler: list[str | Path] = [zig, "c++", "-target", recipe.triple]
    includes = [flag for name in INCLUDES for flag in ("-isystem", name)]

    def compile_one(name: str) -> str:
        warnings = OWN_FLAGS if name in own else ("-w",)
        result = f"{name.replace('/', '_')}.o"
        process.run([*compiler, *FLAGS, *warnings, "-Iown", *includes, "-c", name, "-o", result], cwd=scratch)
        return result

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, [*own, *upstream]))
    linked = scratch / recipe.name
    link = ["-shared", "-s", "-Wl,--gc-sections", *recipe.link_flags]
    process.run([*compiler, *link, *objects, "-o", linked.name], cwd=scratch)
    shutil.move(linked, output)
    shutil.rmtree(scratch)


def add_hook(path: Path, line: str, added: str) -> None:
    """Add code after a line of an upstream file. Raises BuildError unless the line is there exactly once."""
    text = path.read_text(encoding="utf-8")
    if text.count(line) != 1:
        raise BuildError(f"{path.name}: expected the line {line.strip()!r} once, found it {text.count(line)} times")
    path.write_text(
        HOOKS_INCLUDE + text.replace(line, f"{line}{added}\n").removeprefix(HOOKS_INCLUDE), encoding="utf-8"
    )
