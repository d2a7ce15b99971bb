"""The option ``--gpu`` of packing: which GPU backends go into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from packer.commands.console import size_in_words, step_progress
from packer.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packer.runtimes.backends import BackendStore, StoredBackend

AUTO, NONE, METAL = "auto", "none", "metal"
SMALLEST_MODEL_BYTES = 64_000_000
"""Below this a model is fast enough on any processor, and a GPU would only make the file larger."""

DEFAULT_BACKENDS = ("vulkan",)


def parse_backends(text: str) -> tuple[str, ...] | None:
    """Return the backends that ``text`` names, ``None`` for ``auto``. Raises UsageError."""
    from packer.runtimes.backends import BACKENDS

    names = [name.strip() for name in text.split(",")]
    if names == [AUTO]:
        return None
    if names == [NONE]:
        return ()
    for name in names:
        if name == METAL:
            raise click.UsageError(
                f"--gpu {text}: Metal, the GPU interface of macOS, can only be built on a Mac, and packed files do not "
                f"run there; expected auto, none, or one or more of {', '.join(BACKENDS)}"
            )
        if name not in BACKENDS:
            raise click.UsageError(
                f"--gpu {text}: {name!r} is no backend; expected auto, none, or one or more of {', '.join(BACKENDS)}, "
                "separated by commas"
            )
    return tuple(name for name in BACKENDS if name in names)


def backends_for(wanted: tuple[str, ...] | None, targets: Sequence[str], model_bytes: int) -> tuple[StoredBackend, ...]:
    """Return the backends to pack for ``targets``, building those that are missing.

    ``None`` is Vulkan for every model that is not tiny; if it can't be built here, the file does without and that is
    said. Raises BuildError when a backend that was named can't be built.
    """
    from packer.runtimes.backends import BackendStore
    from packer.runtimes.store import default_store

    store = BackendStore(runtimes=default_store())
    if wanted is not None:
        places = [(name, target) for name in wanted for target in targets]
        for name, target in places:
            _refuse_long_build(store, name, target)
        return tuple(_backend(store, name, target) for name, target in places)
    if model_bytes < SMALLEST_MODEL_BYTES:
        return ()
    try:
        return tuple(_backend(store, name, target) for target in targets for name in DEFAULT_BACKENDS)
    except BuildError as error:
        first = str(error).partition("\n")[0]
        click.echo(f"GPU support is left out ({first}); --gpu none says so beforehand.", err=True)
        return ()


def _refuse_long_build(store: BackendStore, name: str, target: str) -> None:
    """Raise BuildError for a backend that is missing and would take an hour, before anything else is built."""
    from packer.runtimes.gpu_libraries import GPU_LIBRARIES

    if GPU_LIBRARIES[name].takes_long and store.find(name, target) is None:
        raise BuildError(
            f"--gpu {name}: the {name} backend for {target} is not built yet, which takes an hour or so; build it once "
            f"with packer runtimes build {target} --gpu {name}, or pack with --gpu vulkan"
        )


def _backend(store: BackendStore, name: str, target: str) -> StoredBackend:
    found = store.find(name, target)
    if found is not None:
        return found
    click.echo(f"The {name} backend for {target} is not built yet; building it (some minutes, once).", err=True)
    with step_progress(f"{name} backend {target}") as note:
        return store.build(name, target, note)


def cost_in_words(backends: Sequence[StoredBackend]) -> str:
    """Say what the backends add to a file."""
    if not backends:
        return "no GPU support"
    sizes = {
        name: sum(one.size_bytes for one in backends if one.name == name) for name in (one.name for one in backends)
    }
    return "GPU: " + ", ".join(f"{name} {size_in_words(size)}" for name, size in sizes.items())
