"""Puts the parts together for a run: the backends that this file brings, its probe, comparison and memory."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from packer.errors import MachineError
from runtime.devices.attempts import ModelPlacing
from runtime.devices.child import default_runner, own_command
from runtime.devices.choice import DeviceChooser, plain_choice
from runtime.devices.comparison import Comparison
from runtime.devices.device import BACKEND_NAMES
from runtime.devices.drivers import driver_identity
from runtime.devices.memory import default_memory
from runtime.devices.patience import Patience
from runtime.devices.probe import Probe
from runtime.devices.recovery import Recovery, unguarded
from runtime.llama import native
from runtime.llama.library import library_directory
from runtime.restart import Restarter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FOLDER = "gpu"
"""Beside the other libraries, but not among them: ggml loads by itself whatever stands there."""


def backends_at_hand(directory: Path) -> dict[str, Path]:
    """Return the backends below the folder of the native libraries, by name."""
    paths = {name: directory / FOLDER / native.library_name(f"ggml-{name}") for name in BACKEND_NAMES}
    return {name: path for name, path in paths.items() if path.is_file()}


def own_backends() -> dict[str, Path]:
    """Return the backends that came with this program; none where it has no native libraries at all."""
    try:
        return backends_at_hand(library_directory())
    except MachineError:
        return {}


def own_recovery(environ: Mapping[str, str], arguments: Sequence[str]) -> Recovery:
    """Make what starts this program, which was started with ``arguments``, again on the CPU."""
    restarter = Restarter(command=[*own_command(environ), *arguments], environ=default_runner(environ).environ)
    return Recovery(restarter=restarter, memory=default_memory(environ))


def model_placing(
    environ: Mapping[str, str],
    *,
    wanted: str,
    layers: int,
    num_threads: int,
    cpu: str,
    recovery: Recovery | None = None,
    trouble: str = "",
) -> ModelPlacing:
    """Make what chooses devices for a model; ``trouble`` with devices has the CPU chosen.

    Raises InputError when ``wanted`` is a backend that is not here.
    """
    backends = own_backends()
    runner, memory = default_runner(environ), default_memory(environ)
    identity = functools.cache(lambda: driver_identity(environ))
    patience = Patience()
    chooser = DeviceChooser(
        wanted=plain_choice(wanted),
        backends=backends,
        probe=Probe(runner=runner, memory=memory, identity=identity, environ=environ, patience=patience),
        comparison=Comparison(
            runner=runner, memory=memory, identity=identity, num_threads=num_threads, cpu=cpu, patience=patience
        ),
        memory=memory,
        recovery=recovery or unguarded(),
        trouble=trouble,
    )
    chooser.check_wanted()
    return ModelPlacing(chooser=chooser, layers=layers, cpu=cpu)
