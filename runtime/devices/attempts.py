"""The ways to load a model, the best one first: on the chosen devices, with less each time, and on the CPU at last.

What is free is asked again before each attempt, since another program may have taken it meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packer.errors import InputError, MachineError
from runtime.devices.choice import ChosenDevices, NoDevice
from runtime.devices.fit import Room, plan_exactly, plan_layers
from runtime.devices.ggml import device_memory
from runtime.devices.projector_fit import plan_with_projector, projector_room
from runtime.devices.report import PICTURES_NO_ROOM, PICTURES_NOT_LOADED, cpu_report, gpu_report
from runtime.llama.model_sizes import read_sizes
from runtime.llama.placement import Placement
from runtime.llama.projector import measure_projector
from runtime.settings import choose_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtime.devices.choice import DeviceChooser
    from runtime.devices.device import Device
    from runtime.devices.fit import Plan
    from runtime.devices.recovery import Recovery
    from runtime.devices.report import DeviceReport
    from runtime.llama.library import Library
    from runtime.llama.model import ModelFile
    from runtime.llama.model_sizes import ModelSizes

_LOG = logging.getLogger(__name__)

SHARES = (1.0, 0.85, 0.6, 0.35)
"""Parts of the free memory that are planned with, one after the other; of layers that were asked for, likewise."""

AUTOMATIC = -1
NO_LAYERS = "no layers on a GPU, by --gpu-layers or the settings"


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What the model is to be loaded with: the context in tokens (0: all the model has), the largest step in tokens.

    ``kv_types`` are the formats that the KV cache may have, the preferred one first. ``projector`` reads pictures for
    the model.
    """

    context_size: int
    batch_tokens: int
    kv_types: tuple[str, ...]
    projector: ModelFile | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One way to load the model and what to say when it succeeds."""

    placement: Placement
    report: DeviceReport
    devices: tuple[Device, ...] = ()
    key: str = ""

    @property
    def on_device(self) -> bool:
        """Whether a device takes part."""
        return bool(self.placement.devices)

    @property
    def everything_on_device(self) -> bool:
        """Whether all layers, and so the whole KV cache, are on devices."""
        return self.on_device and self.report.layers >= self.report.num_layers


@dataclass(frozen=True, kw_only=True)
class ModelPlacing:
    """Makes the attempts for one model; ``layers`` is what was asked for, :data:`AUTOMATIC` what fits."""

    chooser: DeviceChooser
    layers: int
    cpu: str

    def attempts(self, library: Library, file: ModelFile, demand: Demand) -> Iterator[Attempt]:
        """Yield the attempts; the last one is the CPU. Raises InputError when what is asked for can't be had."""
        in_memory = Placement(kv_type=demand.kv_types[0])
        self._check_layers(library, file)
        known = self.without_device()
        if known is not None:
            yield Attempt(placement=in_memory, report=known)
            return
        chosen = self.chooser.choose(library)
        if isinstance(chosen, NoDevice):
            self.recovery.not_in_use()
            yield Attempt(placement=in_memory, report=cpu_report(self.cpu, chosen.why))
            return
        sizes, projector_bytes = read_sizes(library, file), _projector_bytes(demand)
        before: list[Plan] = []
        for share in SHARES:
            plan = self._plan(sizes, self._rooms(library, chosen), demand, share, projector_bytes)
            if plan is None or plan.num_layers == 0:
                break
            for variant, words in _variants(plan, demand, projector_bytes):
                if variant not in before:
                    yield _on_devices(chosen, variant, sizes, tried=_had_more(before, variant), words=words)
                    before.append(variant)
        why = f"{' + '.join(map(str, chosen.devices))}: its memory ran out while the model was loaded"
        if not before:
            why = _does_not_fit(chosen.devices, self._rooms(library, chosen))
        yield Attempt(placement=in_memory, report=cpu_report(self.cpu, why))

    def without_device(self) -> DeviceReport | None:
        """Return the report of a run that is on the CPU for sure, ``None`` where devices are to be asked first."""
        if self.layers == 0:
            return cpu_report(self.cpu, NO_LAYERS)
        why = self.chooser.why_not_even_ask()
        return cpu_report(self.cpu, why) if why else None

    def preview(self, library: Library, file: ModelFile, demand: Demand) -> DeviceReport:
        """Return what would be said if the model were loaded now and all went as planned; loads nothing."""
        self._check_layers(library, file)
        known = self.without_device()
        if known is not None:
            return known
        devices, why = self.chooser.preview()
        if not devices:
            return cpu_report(self.cpu, why)
        sizes = read_sizes(library, file)
        rooms = [Room(free_bytes=device.free_bytes, total_bytes=device.total_bytes) for device in devices]
        projector_bytes = _projector_bytes(demand)
        plan = self._plan(sizes, rooms, demand, SHARES[0], projector_bytes)
        if plan is None:
            return cpu_report(self.cpu, _does_not_fit(devices, rooms))
        words = _variants(plan, demand, projector_bytes)[0][1]
        return gpu_report(devices, plan, sizes.num_layers, reasons=[why, *words])

    @property
    def recovery(self) -> Recovery:
        """What watches over the use of devices."""
        return self.chooser.recovery

    @contextlib.contextmanager
    def guard(self, library: Library, attempt: Attempt) -> Iterator[None]:
        """Surround an attempt, so that one which ends or stalls the program is followed by the CPU."""
        if not attempt.on_device:
            self.recovery.not_in_use()
            yield
            return
        memory = self.chooser.memory
        with memory.trying(attempt.key), self.recovery.loading(library, attempt.devices):
            yield
        memory.succeeded(attempt.key)
        self.recovery.in_use()

    def _rooms(self, library: Library, chosen: ChosenDevices) -> list[Room]:
        """Ask for the memory of every device; what a device reports beyond its size does not count."""
        rooms = []
        with self.chooser.memory.trying(chosen.key), self.recovery.loading(library, chosen.devices):
            for device, pointer in zip(chosen.devices, chosen.pointers, strict=True):
                free, total = device_memory(library, pointer)
                rooms.append(Room(free_bytes=min(free, total, device.total_bytes), total_bytes=total))
        return rooms

    def _check_layers(self, library: Library, file: ModelFile) -> None:
        """Refuse more layers than the model has, whether or not a device is going to be used."""
        if self.layers <= 0:
            return
        num_layers = read_sizes(library, file).num_layers
        if self.layers > num_layers:
            raise InputError(
                f"--gpu-layers {self.layers}: this model has {num_layers} layers, its output counted as one; "
                f"give 0 to {num_layers}, or leave it out for as many as fit"
            )

    def _plan(
        self, sizes: ModelSizes, rooms: list[Room], demand: Demand, share: float, projector_bytes: int | None
    ) -> Plan | None:
        step = {
            "context_tokens": choose_context(demand.context_size, sizes.context_length).size_tokens,
            "batch_tokens": demand.batch_tokens,
        }

        def plan(rooms: Sequence[Room]) -> Plan | None:
            if self.layers != AUTOMATIC:
                return plan_exactly(int(self.layers * share), rooms, demand.kv_types[0])
            return plan_layers(sizes, rooms, share=share, kv_types=demand.kv_types, **step)

        if projector_bytes is None:
            return plan(rooms)
        return plan_with_projector(plan, sizes, rooms, projector_bytes, **step)


def _does_not_fit(devices: tuple[Device, ...], rooms: list[Room]) -> str:
    free = sum(room.free_bytes for room in rooms) >> 20
    return f"{' + '.join(map(str, devices))}: too little of the model fits into {free:,} MiB of free memory"


def _projector_bytes(demand: Demand) -> int | None:
    """Return what the projector needs on a device, ``None`` without one, or where loading it will say what is wrong."""
    if demand.projector is None:
        return None
    try:
        return projector_room(measure_projector(demand.projector))
    except (InputError, MachineError) as error:
        _LOG.info("%s", error)
        return None


def _variants(plan: Plan, demand: Demand, projector_bytes: int | None) -> list[tuple[Plan, tuple[str, ...]]]:
    """Return the plan, then the same without the projector, each with what is said about pictures."""
    if demand.projector is None:
        return [(plan, ())]
    if plan.has_projector:
        return [(plan, ()), (replace(plan, has_projector=False), (PICTURES_NOT_LOADED,))]
    return [(plan, (PICTURES_NOT_LOADED if projector_bytes is None else PICTURES_NO_ROOM,))]


def _had_more(before: Sequence[Plan], plan: Plan) -> bool:
    """Whether more of the model than ``plan`` gives the devices was tried."""
    return any(replace(one, has_projector=plan.has_projector) != plan for one in before)


def _on_devices(chosen: ChosenDevices, plan: Plan, sizes: ModelSizes, *, tried: bool, words: Sequence[str]) -> Attempt:
    reasons = [chosen.why, *(["more than that could not be loaded"] if tried else []), *words]
    used = [index for index, count in enumerate(plan.counts) if count]
    placement = Placement(
        devices=tuple(chosen.pointers[index] for index in used),
        num_layers=plan.num_layers,
        shares=tuple(float(plan.counts[index]) for index in used),
        cpu_experts=plan.cpu_experts,
        kv_type=plan.kv_type,
        has_projector=plan.has_projector,
    )
    return Attempt(
        placement=placement,
        report=gpu_report(chosen.devices, plan, sizes.num_layers, reasons=reasons),
        devices=chosen.devices,
        key=chosen.key,
    )
