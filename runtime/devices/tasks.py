"""What a child process does with a driver: list its devices, or compare one with the CPU. The child's side.

It is started by :class:`runtime.devices.child.ChildRunner`, loads the same libraries as its parent and reports as it
goes on, so that a crash in the middle loses only what comes after.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.devices.device import Device, NonsenseError
from runtime.devices.ggml import describe_device, device_pointers, load_backend

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_OVERTIME = 124
NO_ERROR_DIALOGS = 0x8003
CAUGHT_CRASH, ACCESS_VIOLATION = "access violation", 0xC0000005 - (1 << 32)
"""On Windows ctypes makes an error of it when a library writes or reads where there is no memory."""

REFUSED = "failed to initialize CUDA: "
NOTHING_TO_START_WITH = "ggml_backend_init returned NULL"
"""What ggml says of a backend that is sound and found no driver at all, as Vulkan's without an instance."""


def run_task(text: str) -> int:
    """Do the task described by the JSON ``text``; return the exit code."""
    task = json.loads(text)
    _limit(float(task["limit_s"]))
    results = Path(task["results"])

    def report(value: dict[str, Any]) -> None:
        with results.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(value) + "\n")

    try:
        TASKS[task["task"]](task, report)
    except OSError as error:
        if CAUGHT_CRASH not in str(error):
            raise
        os._exit(ACCESS_VIOLATION)
    sys.stdout.flush()
    # Drivers' clean-up at the end of a process is not what was asked about; some hang or crash there.
    os._exit(0)


def _limit(seconds: float) -> None:
    """End this process after ``seconds``, whatever it is doing, and leave no core file behind."""
    if sys.platform == "win32":
        import ctypes

        ctypes.WinDLL("kernel32").SetErrorMode(NO_ERROR_DIALOGS)
        timer = threading.Timer(seconds, os._exit, (EXIT_OVERTIME,))
        timer.daemon = True
        timer.start()
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def list_devices(task: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> None:
    """Report every device of the backend in the library ``path``; ``software`` marks them as renderers on the CPU."""
    from runtime.llama.library import load_library

    library = load_library()
    lines: list[str] = []
    library.log.listener = lines.append
    registry = load_backend(library, Path(task["path"]))
    if registry is None:
        reason = _reason(library.log.errors(), Path(task["path"]))
        report({"done": True} if reason.endswith(NOTHING_TO_START_WITH) else {"problem": reason})
        return
    try:
        pointers = device_pointers(library, registry)
        if not pointers and (words := refusal(library.log.errors())):
            report({"problem": words})
            return
        for index, pointer in enumerate(pointers):
            found = describe_device(
                library, pointer, backend=task["backend"], index=index, software=bool(task.get("software"))
            )
            report({"device": _with_driver(found, lines).to_json()})
    except NonsenseError as error:
        report({"nonsense": str(error)})
        return
    report({"done": True})


def _reason(errors: list[str], path: Path) -> str:
    """Return ggml's last complaint about the library at ``path``, which it is called by its file name in."""
    return errors[-1].replace(f"{path.parent}{os.sep}", "") if errors else "it can't be loaded"


def refusal(errors: list[str]) -> str:
    """Return why a driver that is there gave no devices, where the backend says so; an old driver is one reason."""
    return next((line.partition(REFUSED)[2] for line in errors if REFUSED in line), "")


def _with_driver(device: Device, lines: list[str]) -> Device:
    """Add the driver's name from the backend's own log line, which has it in brackets behind the device's."""
    for line in lines:
        _before, found, after = line.partition(f"{device.description} (")
        if found and line.startswith(f"ggml_{device.backend}") and ")" in after:
            return replace(device, driver=after.partition(")")[0])
    return device


def compare(task: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> None:
    """Report how fast the ``model`` runs on the CPU and on the device ``index``, and how near its results are.

    Without a model one operation stands for it.
    """
    from packer.errors import InputError, MachineError
    from runtime.devices.calibration import NOT_COMPARED, measure
    from runtime.devices.single_operation import measure_operation
    from runtime.llama.errors import DecodeError
    from runtime.llama.library import load_library

    library = load_library()
    registry = load_backend(library, Path(task["path"]))
    pointers = device_pointers(library, registry) if registry else []
    if task["index"] >= len(pointers):
        report({"problem": "the device is gone"})
        return
    pointer = pointers[task["index"]]
    if task["model"] is None:
        results = measure_operation(library, pointer, task["threads"])
    else:
        results = measure(library, pointer, Path(task["model"]), task["threads"])
    try:
        for result in results:
            report(result)
    except (InputError, MachineError, DecodeError):
        report({"problem": f"{NOT_COMPARED} (the driver refused a small model; its memory may be in use)"})


TASKS: dict[str, Callable[[dict[str, Any], Callable[[dict[str, Any]], None]], None]] = {
    "list": list_devices,
    "compare": compare,
}
