"""``packer assimilate``: a portable file becomes a native one."""

from __future__ import annotations

from pathlib import Path

import click

from packer.commands.console import byte_progress, echo_json, size_in_words
from packer.programs import LINUX, WINDOWS, WINDOWS_SUFFIX


@click.command(
    short_help="Make a portable file a native one.", epilog="Example:\n\n  packer assimilate chat.exe -o chat"
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="File to write. [default: FILE's name without .exe]"
)
@click.option("--target", type=click.Choice([LINUX, WINDOWS]), default=LINUX, show_default=True, help="Its system.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def assimilate(file: Path, output: Path | None, target: str, as_json: bool) -> None:
    """Write a copy of the portable FILE that is a plain native program, for places that insist on one."""
    from packer.container.assimilate import assimilate as write_native
    from packer.container.reader import open_bundle

    stem = file.name.removesuffix(WINDOWS_SUFFIX)
    default = f"{stem}-windows{WINDOWS_SUFFIX}" if target == WINDOWS else f"{stem}-linux" if stem == file.name else stem
    chosen = output or file.with_name(default)
    with open_bundle(file) as bundle:
        size_bytes = bundle.size_bytes
    with byte_progress(f"writing {chosen.name}", size_bytes) as progress:
        write_native(file, chosen, target, progress)
    written = chosen.stat().st_size
    if as_json:
        echo_json({"path": str(chosen.absolute()), "size_bytes": written, "target": target})
    else:
        click.echo(f"{chosen}  {size_in_words(written)}, for {target}")
