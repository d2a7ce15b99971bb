"""The rules that hold the parts of the project apart, read from the sources: imports, docstrings and sizes."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parent.parent.parent
PACKAGES = ("packer", "runtime", "web_ui")
MODULES = sorted(path for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py"))
MAX_MODULE_LINES = 450
MAX_FUNCTION_LINES = 60

FORBIDDEN = {
    "packer": ("flask", "waitress", "llama_cpp", "runtime", "web_ui"),
    "runtime": ("packer",),
    "web_ui": ("packer", "runtime", "llama_cpp"),
}
ALLOWED = {"runtime": ("packer.container", "packer.errors", "packer.standard_output", "packer.__version__")}


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether the dotted ``name`` is one of ``prefixes`` or lies in it."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def imported_names(tree: ast.Module, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything a module imports, at its top or anywhere else in it.

    ``from a.b import c`` gives ``a.b.c``; a relative import is resolved against ``package``.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = [*base, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*start, alias.name])) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("import_module", "importlib.import_module"):
            yield node.lineno, str(getattr(node.args[0], "value", "")) if node.args else ""


def broken_arrows(path: Path, source: str) -> list[str]:
    """Every import of the module ``path`` that points where its package must not."""
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    forbidden, allowed = FORBIDDEN[parts[0]], ALLOWED.get(parts[0], ())
    return [
        f"{path.relative_to(CHECKOUT)}:{line}: imports {name}"
        for line, name in imported_names(ast.parse(source), parts[:-1])
        if within(name, forbidden) and not within(name, allowed)
    ]


def long_functions(source: str) -> list[str]:
    """Every function of more than the permitted lines, decorators not counted."""
    return [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]


def test_all_packages_are_looked_at() -> None:
    assert {path.relative_to(CHECKOUT).parts[0] for path in MODULES} == set(PACKAGES)
    assert len(MODULES) > 50


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_follow_the_arrows(package: str) -> None:
    modules = [path for path in MODULES if path.is_relative_to(CHECKOUT / package)]
    assert not [problem for path in modules for problem in broken_arrows(path, path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("packer/x.py", "import flask"),
        ("packer/x.py", "from runtime.engine import engine"),
        ("packer/x.py", "def f():\n    import llama_cpp.llama_cpp as L"),
        ("packer/gguf/x.py", "from ... import web_ui"),
        ("packer/x.py", "import importlib\nimportlib.import_module('waitress')"),
        ("runtime/x.py", "import packer"),
        ("runtime/x.py", "from packer import cli"),
        ("runtime/x.py", "from packer.gguf import inspect_model"),
        ("runtime/x.py", "import packer.containers"),
        ("web_ui/x.py", "from packer import __version__"),
        ("web_ui/x.py", "if True:\n    import runtime.api"),
    ],
)
def test_a_broken_arrow_is_found(module: str, source: str) -> None:
    assert len(broken_arrows(CHECKOUT / module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("packer/x.py", "import flaskette, runtimes\nfrom packer.runtimes import store"),
        ("packer/gguf/x.py", "from . import runtime"),
        ("runtime/x.py", "from packer import __version__\nfrom packer.errors import InputError"),
        ("runtime/x.py", "from packer.container.reader import open_bundle\nfrom packer import container"),
        ("runtime/x.py", "import flask, llama_cpp, web_ui"),
        ("web_ui/x.py", "import flask"),
    ],
)
def test_a_sound_arrow_is_not(module: str, source: str) -> None:
    assert not broken_arrows(CHECKOUT / module, source)


def test_every_module_says_what_it_is_for() -> None:
    silent = [path for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert not [str(path.relative_to(CHECKOUT)) for path in silent]


def test_no_module_is_long() -> None:
    sizes = {str(path.relative_to(CHECKOUT)): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert not {name: size for name, size in sizes.items() if size > MAX_MODULE_LINES}


def test_no_function_is_long() -> None:
    found = {str(path.relative_to(CHECKOUT)): long_functions(path.read_text(encoding="utf-8")) for path in MODULES}
    assert not {name: functions for name, functions in found.items() if functions}


def test_a_long_function_is_found() -> None:
    body = "        x = 1\n"
    assert not long_functions("class C:\n    def f(self):\n" + body * (MAX_FUNCTION_LINES - 1))
    assert long_functions("class C:\n    async def f(self):\n" + body * MAX_FUNCTION_LINES) == ["f: 61 lines"]
