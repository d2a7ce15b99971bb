"""``packer bench``: how fast a packed file is on the machine at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from packer.commands.console import echo_json, step_progress
from packer.errors import InputError

EXAMPLE = """
Example:

  packer bench chat --json
"""


def _parse_streams(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or not all(1 <= count <= 64 for count in counts):
        raise click.BadParameter(f"{text!r} is not a list of numbers from 1 to 64, such as 1,2,4")
    return counts


@click.command(short_help="Measure a packed file on this machine.", epilog=EXAMPLE)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Repetitions of each figure.")
@click.option("--prompt-tokens", type=click.IntRange(2), default=512, show_default=True, help="Length of the prompt.")
@click.option("--reply-tokens", type=click.IntRange(2), default=64, show_default=True, help="Length of a reply.")
@click.option("--streams", default="1,2,4", show_default=True, callback=_parse_streams, help="Clients at a time.")
@click.option("--json", "as_json", is_flag=True, help="Print every measured value as JSON.")
def bench(
    file: Path, rounds: int, prompt_tokens: int, reply_tokens: int, streams: tuple[int, ...], as_json: bool
) -> None:
    """Measure FILE, a packed file, on this machine: start, first token, reading a prompt, writing, many clients."""
    from packer.container.reader import open_bundle
    from packer.measuring import Plan, measure

    with open_bundle(file) as bundle:
        if bundle.manifest.model is None:
            raise InputError(f"{file}: was packed without a model; there is nothing to measure")
    plan = Plan(rounds=rounds, prompt_tokens=prompt_tokens, reply_tokens=reply_tokens, streams=streams)
    with step_progress(f"measuring {file.name}") as note:
        result = measure(file, plan, note)
    if as_json:
        echo_json(result)
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    model, machine = result["model"] or {}, result["machine"]
    title = f"{result['file']}: {model.get('name', 'model')} {model.get('quantization', '')}"
    caption = f"CPU code: {machine['cpu_variant']}; threads: {(machine['threads'] or {}).get('count', '?')}"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for heading in ("", "median", "best"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = [
        ("start until healthy", result["healthy_s"], "s"),
        ("start until first token", result["first_token_s"], "s"),
        ("reading a prompt", result["prompt_tokens_per_s"], "tokens/s"),
    ]
    for entry in result["streams"]:
        words = "writing, 1 client" if entry["streams"] == 1 else f"writing, {entry['streams']} clients together"
        rows.append((words, entry["tokens_per_s"], "tokens/s"))
    for words, figure, unit in rows:
        best = (min if unit == "s" else max)(figure["values"])
        table.add_row(words, _number(figure["median"], unit), _number(best, unit))
    Console().print(table)


def _number(value: float, unit: str) -> str:
    return f"{value:.2f} s" if unit == "s" else f"{value:,.1f} tokens/s"
