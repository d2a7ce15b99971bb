"""``packer inspect``, ``packer verify`` and ``packer extract``: what is in a packed file, and is it whole."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from packer.commands.console import byte_progress, echo_json, size_in_words
from packer.container.reader import Bundle, describe_entry, open_bundle
from packer.container.weights import check_weights, find_weights
from packer.container.writer import complete_or_nothing, write_all
from packer.errors import DamagedError, InputError, OutputError

if TYPE_CHECKING:
    from packer.container.layout import Entry


@click.command(short_help="Show what a packed file holds.", epilog="Example:\n\n  packer inspect chat")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, every entry included.")
def inspect(file: Path, as_json: bool) -> None:
    """Show what FILE holds: its model, settings, and the systems it runs on. A GGUF file is described too."""
    if _is_gguf(file):
        _inspect_model(file, as_json=as_json)
        return
    with open_bundle(file) as bundle:
        description = describe_bundle(bundle)
    if as_json:
        echo_json(description)
        return
    model = description["model"]
    click.echo(f"{file}  {size_in_words(description['size_bytes'])}, packed by packer {description['packer_version']}")
    click.echo(f"Title    {description['title']}")
    if model:
        place = description["weights"]["file"] + " beside it" if description["weights"] else model["entry"]
        click.echo(f"Model    {model['name']}, {model['architecture']}, {model['quantization']}, {place}")
        click.echo(f"         {size_in_words(model['size_bytes'])}, trained for {model['context_length']} tokens")
        if model["use"] == "embeddings":
            click.echo("Use      embeddings only (/v1/embeddings); it can't chat")
    for adapter in description["adapters"]:
        size = size_in_words(adapter["size_bytes"])
        click.echo(f"Adapter  {adapter['name']}, scale {adapter['scale']:g}, rank {adapter['rank']}, {size}")
    for prompt in description["prompts"]:
        size = size_in_words(prompt["size_bytes"])
        click.echo(f"Prompt   {prompt['name']}, {prompt['num_tokens']} tokens read beforehand, {size}")
    if projector := description["projector"]:
        size = size_in_words(projector["size_bytes"])
        click.echo(f"Sees     pictures, by {projector['name']} ({projector['kind']}), {size}")
    for target, summary in description["targets"].items():
        click.echo(f"Runs on  {target} (Python {summary['python']}, llama.cpp {summary['llama_cpp']})")
    click.echo(f"Entries  {len(description['entries'])}; list them with unzip -l or packer inspect --json")


def describe_bundle(bundle: Bundle) -> dict[str, Any]:
    """Everything that the manifest and the directory say, as JSON values."""
    from dataclasses import asdict

    manifest = bundle.manifest
    described = asdict(manifest)
    digests = described.pop("sha256")
    entries = [describe_entry(entry) | {"sha256": digests.get(entry.name)} for entry in bundle.entries.values()]
    return {"path": str(bundle.path), "size_bytes": bundle.size_bytes, **described, "entries": entries}


def _is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(4) == b"GGUF"
    except OSError as error:
        raise InputError(f"{path}: can't be opened ({error.strerror})") from error


def _inspect_model(path: Path, *, as_json: bool) -> None:
    from dataclasses import asdict

    from packer.gguf import inspect_model

    values = asdict(inspect_model(path))
    if as_json:
        echo_json(values)
        return
    for name, value in values.items():
        click.echo(f"{name.replace('_', ' '):22} {value}")


@click.command(short_help="Check every byte of a packed file.", epilog="Example:\n\n  packer verify chat")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def verify(file: Path, as_json: bool) -> None:
    """Check every byte of FILE against the digests in its manifest; name each entry that differs."""
    with open_bundle(file) as bundle:
        with byte_progress(f"verifying {file.name}", bundle.size_bytes) as progress:
            problems = bundle.verify(progress)
            weights = bundle.manifest.weights if not problems else None
        count = len(bundle.entries)
    if weights is not None:
        path = find_weights(file, weights)
        with byte_progress(f"verifying {path.name}", weights.size_bytes) as progress:
            check_weights(path, weights, progress)
    if as_json:
        echo_json({"path": str(file), "ok": not problems, "num_entries": count, "problems": problems})
    if problems:
        raise DamagedError(f"{file}: is damaged; copy or download it again\n" + "\n".join(problems))
    if not as_json:
        click.echo(f"{file}: all {count} entries are as they were packed")


@click.command(
    short_help="Write what a file holds into a folder.", epilog="Example:\n\n  packer extract chat 'model/*' -d out"
)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1)
@click.option("-d", "--directory", type=click.Path(path_type=Path), default=Path(), help="Where to write. [default: .]")
@click.option("--json", "as_json", is_flag=True, help="Print the written paths as JSON.")
def extract(file: Path, names: tuple[str, ...], directory: Path, as_json: bool) -> None:
    """Write entries of FILE (all, or those that NAMES, which may be patterns, choose) below a directory."""
    with open_bundle(file) as bundle:
        chosen = _choose(bundle, names)
        digests = bundle.manifest.sha256
        written = []
        with byte_progress("extracting", sum(entry.size_bytes for entry in chosen)) as progress:
            for entry in chosen:
                written.append(_extract_entry(bundle, entry, directory, digests.get(entry.name)))
                progress(entry.size_bytes)
    if as_json:
        echo_json([str(path) for path in written])
    else:
        click.echo(f"{len(written)} entries written to {directory.absolute()}")


def _choose(bundle: Bundle, names: tuple[str, ...]) -> list[Entry]:
    from fnmatch import fnmatchcase

    patterns = names or ("*",)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in bundle.entries):
            raise InputError(f"{bundle.path}: no entry is called {pattern}; packer inspect --json lists them")
    return [entry for name, entry in bundle.entries.items() if any(fnmatchcase(name, one) for one in patterns)]


def _extract_entry(bundle: Bundle, entry: Entry, directory: Path, sha256: str | None) -> Path:
    """Write one entry, digest checked before the file gets its name; names were proven harmless by the reader."""
    path = directory / entry.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{directory}: no directory can be made there ({error.strerror}); choose another place with -d"
        ) from error
    digest = hashlib.sha256()
    with complete_or_nothing(path, needed_bytes=entry.size_bytes, mode=entry.mode) as descriptor:
        position = 0
        for piece in bundle.chunks(entry):
            digest.update(piece)
            position += write_all(descriptor, piece, position)
        if sha256 is not None and digest.hexdigest() != sha256:
            raise DamagedError(f"{bundle.path}: {entry.name} is damaged; copy or download the file again")
    return path
