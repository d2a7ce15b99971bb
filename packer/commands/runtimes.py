"""``packer runtimes``: list, build, add and remove what packed files run on."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from packer.commands.console import echo_json, size_in_words, step_progress
from packer.errors import InputError


@click.group(epilog="Example:\n\n  packer runtimes build linux-x86_64")
def runtimes() -> None:
    """List, build, add and remove the runtimes that packed files carry."""


@runtimes.command("list", epilog="Example:\n\n  packer runtimes list --json")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_runtimes(as_json: bool) -> None:
    """List the runtimes at hand."""
    from packer.runtimes.recipe import TARGETS
    from packer.runtimes.store import default_store

    found = default_store().runtimes()
    if as_json:
        echo_json([runtime.describe() for runtime in found])
        return
    for runtime in found:
        note = "" if runtime.usable else f"  (made by packer {runtime.packer_version}: not usable)"
        identity = runtime.summary.runtime_id[:12]
        click.echo(f"{runtime.target}  {identity}  {size_in_words(runtime.size_bytes)}  {runtime.origin}{note}")
    if not found:
        click.echo(f"No runtime yet. Build one with: packer runtimes build {TARGETS[0]}")


@runtimes.command("build", epilog="Example:\n\n  packer runtimes build linux-x86_64 -o linux.runtime")
@click.argument("target", default="linux-x86_64")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also copy the runtime file here.")
def build_runtime(target: str, output: Path | None) -> None:
    """Build the runtime of TARGET from the pinned sources; nothing is done again that did not change."""
    from packer.runtimes.store import default_store

    with step_progress(f"runtime {target}") as note:
        runtime = default_store().build(target, note)
    if output is not None:
        try:
            shutil.copyfile(runtime.path, output)
        except OSError as error:
            raise InputError(f"{output}: can't be written ({error.strerror})") from error
    click.echo(f"{target}  {runtime.summary.runtime_id[:12]}  {size_in_words(runtime.size_bytes)}  ready")


@runtimes.command("add", epilog="Example:\n\n  packer runtimes add linux.runtime")
@click.argument("file", type=click.Path(path_type=Path))
def add_runtime(file: Path) -> None:
    """Add a runtime file built elsewhere, for a machine that can't build one."""
    from packer.runtimes.store import default_store

    runtime = default_store().add(file)
    click.echo(f"{runtime.target}  {runtime.summary.runtime_id[:12]}  added")


@runtimes.command("remove", epilog="Example:\n\n  packer runtimes remove linux-x86_64")
@click.argument("name")
def remove_runtime(name: str) -> None:
    """Remove runtimes by target or by the beginning of their id."""
    from packer.runtimes.store import default_store

    for runtime in default_store().remove(name):
        click.echo(f"{runtime.target}  {runtime.summary.runtime_id[:12]}  removed")
