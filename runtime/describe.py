"""``--info``, ``--verify``, ``--licenses`` and ``--version``: what is in the packed file. Loads no model."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from packer.errors import DamagedError
from runtime.report import say, say_fact

if TYPE_CHECKING:
    from pathlib import Path

    from packer.container.reader import Bundle
    from runtime.bundle import Contents, ModelSource
    from runtime.devices.report import DeviceReport

DEVELOPMENT = "development"
MEBIBYTE = 1 << 20


def info_document(contents: Contents) -> dict[str, Any]:
    """Return everything ``--info`` knows as plain JSON values; sizes in bytes."""
    from packer.container.reader import describe_entry, open_bundle

    manifest = contents.manifest
    with open_bundle(contents.path) as bundle:
        entries = [describe_entry(entry) for entry in bundle.entries.values()]
        size_bytes = bundle.size_bytes
    return {
        "path": str(contents.path),
        "size_bytes": size_bytes,
        "title": contents.config.title or manifest.title,
        "packer_version": manifest.packer_version,
        "model": asdict(manifest.model) if manifest.model else None,
        "adapters": [asdict(adapter) for adapter in manifest.adapters],
        "projector": asdict(manifest.projector) if manifest.projector else None,
        "weights": asdict(manifest.weights) if manifest.weights else None,
        "targets": {name: asdict(target) for name, target in manifest.targets.items()},
        "config": asdict(contents.config),
        "entries": entries,
    }


def show_info(contents: Contents, device: DeviceReport | None, *, as_json: bool) -> None:
    """Print what the packed file is, and what its model would run on here."""
    document = info_document(contents) | {"device": device.to_json() if device else None}
    if as_json:
        say(json.dumps(document, indent=2, ensure_ascii=False, default=list))
        return
    model = document["model"] or {}
    say_fact("Title", document["title"])
    say_fact("File", document["path"], f"{document['size_bytes'] / MEBIBYTE:,.1f} MiB")
    if model:
        say_fact("Model", model["name"], f"{model['architecture']}, {model['quantization']}")
        say_fact("Parameters", f"{model['num_parameters']:,}", f"{model['size_bytes'] / MEBIBYTE:,.1f} MiB of weights")
        say_fact("Context", f"{model['context_length']:,} tokens", "the most this model handles")
        _say_use(model)
    _say_adapters(document["adapters"])
    if document["projector"]:
        say_fact("Projector", document["projector"]["name"], "lets the model see pictures")
    if document["weights"]:
        say_fact("Weights", document["weights"]["file"], "a file of its own; it belongs beside this one")
    if device is not None:
        say_fact("Device", device.name, device.why)
    for name, target in document["targets"].items():
        say_fact("Runs on", name, f"llama.cpp {target['llama_cpp']}, Python {target['python']}")
    locked = document["config"].get("locked") or ()
    say_fact("Locked", ", ".join(locked) or "nothing", "settings that can't be changed" if locked else "")
    say_fact("Packed by", f"packer {document['packer_version']}")


def show_model_info(source: ModelSource, *, as_json: bool) -> None:
    """Print what a bare model is."""
    document = {**source.description, "path": str(source.file.path)}
    if as_json:
        say(json.dumps(document, indent=2, ensure_ascii=False))
        return
    say_fact("File", document["path"])
    say_fact("Model", source.name, str(document.get("architecture", "")))
    say_fact("Context", f"{source.context_length:,} tokens", "the most this model handles")
    _say_use(document)
    _say_adapters(document.get("adapters", []))
    if "projector" in document:
        say_fact("Projector", document["projector"], "lets the model see pictures")


def _say_adapters(adapters: list[dict[str, Any]]) -> None:
    for adapter in adapters:
        say_fact("Adapter", adapter["name"], f"applied with the scale {adapter['scale']:g}")


def _say_use(model: dict[str, Any]) -> None:
    if model.get("use") == "embeddings":
        say_fact("Use", "embeddings only", "it turns texts into vectors (/v1/embeddings) and can't chat")


def verify(path: Path) -> None:
    """Check every byte of the packed file. Raises DamagedError naming each bad entry."""
    from packer.container.reader import open_bundle
    from packer.container.weights import check_weights, find_weights

    with open_bundle(path) as bundle:
        progress = _Progress(bundle)
        problems = bundle.verify(progress.add)
        progress.finish()
        num_entries = len(bundle.entries)
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise DamagedError(f"{path}: damaged; copy or download it again{listed}")
    if bundle.manifest.weights is not None:
        check_weights(find_weights(path, bundle.manifest.weights), bundle.manifest.weights)
        say(f"{bundle.manifest.weights.file}: is the model that was packed")
    say(f"{path}: all {num_entries} entries are intact")


class _Progress:
    """Shows on standard error how much of a file has been checked."""

    def __init__(self, bundle: Bundle) -> None:
        self._total = max(1, bundle.size_bytes)
        self._done = 0
        self._shown = -1
        self._is_terminal = sys.stderr.isatty()

    def add(self, count: int) -> None:
        self._done += count
        percent = min(100, self._done * 100 // self._total)
        step = 1 if self._is_terminal else 25
        if percent // step != self._shown // step:
            self._shown = percent
            start, end = ("\r", "") if self._is_terminal else ("", "\n")
            say(f"{start}checking: {percent} %", sys.stderr, end=end)

    def finish(self) -> None:
        if self._is_terminal:
            say("\r\x1b[K", sys.stderr, end="")


def show_licenses(path: Path) -> None:
    """Print the licence texts of everything in the packed file."""
    from runtime.bundle import read_licenses

    for name, text in read_licenses(path).items():
        say(f"{'=' * 72}\n{name}\n{'=' * 72}\n{text.rstrip()}\n")


def version_line(contents: Contents | None) -> str:
    """Return the line that ``--version`` prints."""
    python = platform.python_version()
    if contents is None:
        return f"packer runtime {DEVELOPMENT} (Python {python})"
    manifest = contents.manifest
    llama = next((target.llama_cpp for target in manifest.targets.values()), "unknown")
    title = contents.config.title or manifest.title
    return f"{title} - packed by packer {manifest.packer_version} (llama.cpp {llama}, Python {python})"
