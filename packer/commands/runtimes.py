"""``packer runtimes``: list, build, add and remove what packed files run on."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from packer.commands.console import echo_json, size_in_words, step_progress
from packer.errors import InputError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


@click.group(
    short_help="What packed files run on: list, build, add.", epilog="Example:\n\n  packer runtimes build linux-x86_64"
)
def runtimes() -> None:
    """List, build, add and remove the runtimes that packed files carry."""


@runtimes.command("list", epilog="Example:\n\n  packer runtimes list --json")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_runtimes(as_json: bool) -> None:
    """List the runtimes at hand."""
    from packer.runtimes.backends import BackendStore
    from packer.runtimes.recipe import TARGETS
    from packer.runtimes.store import default_store

    found = default_store().runtimes()
    backends = BackendStore(runtimes=default_store()).at_hand(TARGETS)
    if as_json:
        echo_json([runtime.describe() for runtime in found] + [backend.describe() for backend in backends])
        return
    for backend in backends:
        identity = backend.backend_id[:12]
        click.echo(
            f"{backend.target}  {identity}  {size_in_words(backend.size_bytes)}  {backend.origin}  {backend.name}"
        )
    for runtime in found:
        note = "" if runtime.usable else f"  (made by packer {runtime.packer_version}: not usable)"
        identity = runtime.summary.runtime_id[:12]
        click.echo(f"{runtime.target}  {identity}  {size_in_words(runtime.size_bytes)}  {runtime.origin}{note}")
    if not found:
        click.echo(f"No runtime yet. Build one with: packer runtimes build {TARGETS[0]}")


@runtimes.command("build", epilog="Example:\n\n  packer runtimes build linux-x86_64 -o linux.runtime")
@click.argument("target", default="linux-x86_64")
@click.option(
    "--gpu",
    metavar="NAMES",
    help="Build GPU backends instead: vulkan (some minutes), cuda (an hour or so; goes on where it was interrupted).",
)
@click.option(
    "--cuda-architectures",
    metavar="LIST",
    help="What --gpu cuda makes code for: compute capabilities times ten, separated by commas; NN-real runs at once on "
    "cards of that generation, NN-virtual is compiled by the driver of any later card at first use. "
    "[default: 75-real,80-real,90-virtual,120f-real]",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also copy the runtime file here.")
def build_runtime(target: str, gpu: str | None, cuda_architectures: str | None, output: Path | None) -> None:
    """Build the runtime of TARGET from the pinned sources; nothing is done again that did not change."""
    from packer.runtimes.store import default_store

    if gpu is not None:
        _build_backends(gpu, target, cuda_architectures, output)
        return
    if cuda_architectures is not None:
        raise click.UsageError("--cuda-architectures: only with --gpu cuda")
    with step_progress(f"runtime {target}") as note:
        runtime = default_store().build(target, note)
    if output is not None:
        _copy(runtime.path, output)
    click.echo(f"{target}  {runtime.summary.runtime_id[:12]}  {size_in_words(runtime.size_bytes)}  ready")


def _build_backends(names: str, target: str, architectures: str | None, output: Path | None) -> None:
    from packer.commands.gpu_option import parse_backends
    from packer.runtimes.backends import BackendStore
    from packer.runtimes.recipe import TARGETS
    from packer.runtimes.store import default_store

    wanted = parse_backends(names)
    if not wanted or (output is not None and len(wanted) > 1):
        raise click.UsageError(f"--gpu {names}: name the backends to build, with -o only one")
    if target not in TARGETS:
        raise InputError(f"{target}: unknown target; this packer builds {', '.join(TARGETS)}")
    with _choosing_architectures(wanted, target, architectures):
        for name in wanted:
            with step_progress(f"{name} backend {target}") as note:
                backend = BackendStore(runtimes=default_store()).build(name, target, note)
            if output is not None:
                _copy(backend.path, output)
            size = size_in_words(backend.size_bytes)
            click.echo(f"{target}  {backend.backend_id[:12]}  {size}  {name} ready")


def _choosing_architectures(
    wanted: tuple[str, ...], target: str, architectures: str | None
) -> AbstractContextManager[None]:
    from packer.runtimes.store import default_store
    from packer.toolchain.cuda.architectures import DEFAULT_ARCHITECTURES, choosing_architectures, parse_architectures

    if "cuda" in wanted:
        chosen = parse_architectures(architectures) if architectures is not None else DEFAULT_ARCHITECTURES
        return choosing_architectures(default_store().cache, target, chosen)
    if architectures is not None:
        raise click.UsageError("--cuda-architectures: only with --gpu cuda")
    return contextlib.nullcontext()


def _copy(source: Path, destination: Path) -> None:
    try:
        shutil.copyfile(source, destination)
    except OSError as error:
        raise InputError(f"{destination}: can't be written ({error.strerror})") from error


@runtimes.command("add", epilog="Example:\n\n  packer runtimes add linux.runtime")
@click.argument("file", type=click.Path(path_type=Path))
def add_runtime(file: Path) -> None:
    """Add a runtime or backend file built elsewhere, for a machine that can't build one."""
    from packer.runtimes.backends import BackendStore, is_backend_file
    from packer.runtimes.store import default_store

    if is_backend_file(file):
        backend = BackendStore(runtimes=default_store()).add(file)
        click.echo(f"{backend.target}  {backend.backend_id[:12]}  {backend.name} added")
        return
    runtime = default_store().add(file)
    click.echo(f"{runtime.target}  {runtime.summary.runtime_id[:12]}  added")


@runtimes.command("remove", epilog="Example:\n\n  packer runtimes remove linux-x86_64")
@click.argument("name")
def remove_runtime(name: str) -> None:
    """Remove runtimes by target or by the beginning of their id."""
    from packer.runtimes.store import default_store

    for runtime in default_store().remove(name):
        click.echo(f"{runtime.target}  {runtime.summary.runtime_id[:12]}  removed")
