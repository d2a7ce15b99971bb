"""``packer run``: start a packed file, or a bare GGUF with the built runtime."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import click

from packer.commands.build import runtime_for
from packer.errors import InputError
from packer.programs import LINUX

EXAMPLE = """
Example:

  packer run model.gguf -- -p "What is a GGUF file?"
"""


@click.command(
    short_help="Run a packed file or a GGUF model.", epilog=EXAMPLE, context_settings={"ignore_unknown_options": True}
)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(file: Path, arguments: tuple[str, ...]) -> None:
    """Run FILE, a packed file or a GGUF model, with ARGUMENTS; nothing is packed."""
    if not file.exists():
        raise InputError(f"{file}: no such file; give a packed file or a GGUF model")
    with file.open("rb") as stream:
        bare = stream.read(4) == b"GGUF"
    if not bare:
        _execute(file, [str(file), *arguments])
    program = model_less_bundle()
    _execute(program, [str(program), "--model", str(file), *arguments])


def model_less_bundle() -> Path:
    """Return a cached bundle that holds the runtime alone, packing it when missing."""
    from packer.bundling import BundlePlan, write_bundle
    from packer.container.config import parse_config
    from packer.toolchain.build_cache import default_build_cache

    runtime = runtime_for(LINUX)

    def pack(work: Path) -> None:
        plan = BundlePlan(output=work / "chat", config=parse_config("", "defaults"), runtimes=(runtime,), model=None)
        write_bundle(plan)

    return default_build_cache().get_or_build("runner", runtime.summary.runtime_id, pack) / "chat"


def _execute(program: Path, arguments: list[str]) -> NoReturn:
    try:
        os.execv(program.absolute(), arguments)
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a portable file, which starts as a shell script
            os.execv("/bin/sh", ["sh", str(program.absolute()), *arguments[1:]])
        raise InputError(f"{program}: can't be executed ({error.strerror}); is it a file made by packer?") from error
