"""Puts the parts of a run together: library, loader, engine, service. Shared by the server and the terminal modes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.chat_service import ChatService, Facts
from runtime.cpu import ThreadChoice, choose_threads, cpu_model, usable_cpus
from runtime.devices.report import LOOKING
from runtime.devices.setup import model_placing, own_recovery
from runtime.engine.engine import Engine
from runtime.llama.library import describe_cpu_variant
from runtime.loading import ModelLoader
from runtime.memory import available_bytes
from runtime.repacking import SMALL_MODEL_BYTES, wants_repacking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.bundle import ModelSource
    from runtime.devices.attempts import ModelPlacing
    from runtime.devices.recovery import Recovery
    from runtime.devices.report import DeviceReport
    from runtime.llama.library import CpuVariant, Library
    from runtime.settings import Settings
    from runtime.timings import Timings

SMALL_MODEL = "a model this small gains nothing from more"


@dataclass(frozen=True, kw_only=True)
class Session:
    """A run in progress; ``trouble`` with devices, if any, was told by the program before this one."""

    library: Library
    loader: ModelLoader
    engine: Engine
    service: ChatService
    threads: ThreadChoice
    variant: CpuVariant
    device: str
    recovery: Recovery
    trouble: str

    def close(self) -> None:
        """End the engine, free the model and silence the native libraries."""
        self.engine.stop()
        self.recovery.ended()
        self.library.silence()


def open_session(
    library: Library,
    settings: Settings,
    source: ModelSource,
    *,
    version: str,
    environ: Mapping[str, str],
    on_quit: Callable[[], None] = lambda: None,
    timings: Timings,
    trouble: str = "",
) -> Session:
    """Prepare everything; the model loads once the engine is started.

    ``trouble`` with devices, in the program that this one was started in place of, has the CPU compute.
    Raises InputError for a GPU that can't be had.
    """
    variant = describe_cpu_variant(library)
    threads = _threads(settings.threads, int(source.description["size_bytes"]))
    recovery = own_recovery(environ, sys.argv[1:])
    placing = placing_for(settings, source, environ=environ, recovery=recovery, trouble=trouble)
    facts = _facts(source, placing.without_device() or LOOKING, variant, threads, version)
    loader = ModelLoader(
        library,
        source.file,
        context_size=settings.context_size,
        num_threads=threads.count,
        adapters=source.adapters,
        projector=source.projector,
        placing=placing,
        prompts=source.prompts,
        timings=timings,
        on_device=facts.set_device,
        on_failure=recovery.consider,
        kv_type=settings.kv_type,
        context_shift=settings.context_shift,
        repack=wants_repacking(settings.repack, int(source.description["size_bytes"]), available_bytes()),
    )
    engine = Engine(loader.load, on_first_token=timings.first_token, on_failure=recovery.consider)
    service = ChatService(
        engine=engine,
        settings=settings,
        facts=facts,
        encoder=lambda: loader.encoder,
        context=lambda: loader.context,
        on_quit=on_quit,
    )
    return Session(
        library=library,
        loader=loader,
        engine=engine,
        service=service,
        threads=threads,
        variant=variant,
        device=cpu_model(),
        recovery=recovery,
        trouble=trouble,
    )


def _facts(
    source: ModelSource, device: DeviceReport, variant: CpuVariant, threads: ThreadChoice, version: str
) -> Facts:
    return Facts(
        model_name=source.name,
        model=source.description,
        device=device.to_json(),
        cpu_variant=str(variant),
        threads={"count": threads.count, "why": threads.why},
        version=version,
        sees_pictures=source.projector is not None,
    )


def placing_for(
    settings: Settings,
    source: ModelSource,
    *,
    environ: Mapping[str, str],
    recovery: Recovery | None = None,
    trouble: str = "",
) -> ModelPlacing:
    """Make what chooses where the model is computed. Raises InputError for a GPU that this file can't use."""
    threads = _threads(settings.threads, int(source.description["size_bytes"]))
    return model_placing(
        environ,
        wanted=settings.gpu,
        layers=settings.gpu_layers,
        num_threads=threads.count,
        cpu=cpu_model(),
        recovery=recovery,
        trouble=trouble,
    )


def _threads(wanted: int, model_bytes: int) -> ThreadChoice:
    """Take the number asked for, if there are as many CPUs; without one, 1 for a small model, whose threads would wait.

    Threads wait for each other by spinning: one that is not scheduled holds up all others.
    """
    usable = len(usable_cpus())
    if wanted > usable:
        words = "1 CPU usable" if usable == 1 else f"{usable} CPUs usable"
        return ThreadChoice(count=usable, why=f"{words}; {wanted} were asked for")
    if wanted > 0:
        return ThreadChoice(count=wanted, why="as set")
    if model_bytes <= SMALL_MODEL_BYTES:
        return ThreadChoice(count=1, why=SMALL_MODEL)
    return choose_threads()
