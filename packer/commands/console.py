"""What every command shares: results to stdout, progress to stderr, sizes in words."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def echo_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def size_in_words(size_bytes: int) -> str:
    """``361758720`` → ``361.8 MB``; decimal units, as disks and downloads count."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


@contextlib.contextmanager
def byte_progress(what: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal's stderr while bytes are counted; yield the function that counts."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _count: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total_bytes)
        yield lambda count: progress.advance(task, count)


@contextlib.contextmanager
def step_progress(what: str) -> Iterator[Callable[[str], None]]:
    """Show the current step of a long build; plain lines where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_steps(what)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what)
        yield lambda text: progress.update(task, description=f"{what}: {text}")


def _plain_steps(what: str) -> Callable[[str], None]:
    """A note function that prints a line when the words of a step change, not for every count in it."""
    last = ""

    def note(text: str) -> None:
        nonlocal last
        words = text.rstrip("0123456789/").rstrip()
        if words != last:
            last = words
            click.echo(f"{what}: {words}", err=True)

    return note
