"""The reasons that the program gives in English, in the reader's language on the page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.cpu import choose_threads
from runtime.devices.attempts import NO_LAYERS
from runtime.devices.child import ChildReport
from runtime.devices.choice import GPU_OFF, NO_GPU, DeviceChooser
from runtime.devices.comparison import Comparison
from runtime.devices.device import Device
from runtime.devices.fit import Plan
from runtime.devices.memory import ResultMemory
from runtime.devices.probe import Probe
from runtime.devices.report import LOOKING, PICTURES_NO_ROOM, PICTURES_NOT_LOADED, gpu_report
from runtime.history.history import LOCKED_OFF, SWITCHED_OFF
from runtime.pictures import NO_PROJECTOR
from runtime.session import SMALL_MODEL
from runtime.settings import choose_context
from web_ui.page import STATIC_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

CARD = Device(
    backend="vulkan", index=0, name="Vulkan0", description="Radeon RX 6700", kind="discrete",
    total_bytes=12 << 30, free_bytes=11 << 30,
)  # fmt: skip
LISTED = ChildReport(results=[{"device": CARD.to_json()}], failure=None)
RENDERER = ChildReport(results=[{"device": CARD.to_json() | {"kind": "software"}}], failure=None)
NO_RESULT = ChildReport(results=[], failure=None)
FAILURES = ("did not answer within 3.5 s", "crashed (SIGSEGV)", "could not be asked (no memory)")
CARD_PROBLEMS = [
    "Radeon RX 6700 (Vulkan): too little of the model fits into 1,024 MiB of free memory",
    "Radeon RX 6700 (Vulkan): its memory ran out while the model was loaded",
    "Radeon RX 6700 (Vulkan): the last starts with it ended abruptly; --gpu vulkan tries again",
    "Radeon RX 6700 (Vulkan): the driver crashed (SIGSEGV) while the model was loaded",
    "Radeon RX 6700 (Vulkan): the driver did not answer for 6 s while the model was loaded",
    "Radeon RX 6700 (Vulkan): the driver crashed (SIGABRT) while it was in use; that came more than once; "
    "--gpu vulkan tries again",
    "Vulkan: the driver offers its devices no longer",
    "Vulkan: there was no time left to ask the driver",
    "Vulkan: device Radeon RX 6700, there was no time left to compare it with the CPU",
    "more than that could not be loaded",
]
TRANSLATE = "async said => Promise.all(said.map(async one => (await import('/static/reasons.js')).reasonText(one)))"


@dataclass(frozen=True, kw_only=True)
class PlayedRunner:
    """Answers for the driver: ``listed`` when it is asked for its devices, ``compared`` when one is compared."""

    listed: ChildReport
    compared: ChildReport = NO_RESULT

    def run(self, task: dict[str, Any], **_given: object) -> ChildReport:
        return self.listed if task["task"] == "list" else self.compared


def device_reasons(tmp_path: Path) -> Iterator[str]:
    """What is said about GPUs, by the program's own parts."""
    yield from (NO_GPU, GPU_OFF, NO_LAYERS, LOOKING.name, LOOKING.why, *CARD_PROBLEMS)
    whole = gpu_report([CARD], Plan(counts=(29,)), 29, reasons=["as asked for"])
    yield from (whole.why, whole.also(PICTURES_NO_ROOM).why, whole.also(PICTURES_NOT_LOADED).why)
    smaller = Plan(counts=(12,), cpu_experts=(1, 2, 3), kv_type="q8_0")
    yield gpu_report([CARD], smaller, 29, reasons=[]).why
    yield _why(tmp_path, None)
    yield _why(tmp_path, PlayedRunner(listed=NO_RESULT))
    for failure in FAILURES:
        failed = ChildReport(results=[], failure=failure)
        yield _why(tmp_path, PlayedRunner(listed=failed))
        yield _why(tmp_path, PlayedRunner(listed=LISTED, compared=failed))
    for result in ({"problem": "CUDA driver version is insufficient"}, {"nonsense": "a device has no name"}):
        yield _why(tmp_path, PlayedRunner(listed=ChildReport(results=[result], failure=None)))
    for listed in (LISTED, RENDERER):
        for speed in (30, 420):
            results: list[dict[str, Any]] = [{"cpu_decode": 100}, {"error": 1e-5}, {"device_decode": speed}]
            compared = ChildReport(results=results, failure=None)
            yield _why(tmp_path, PlayedRunner(listed=listed, compared=compared))
    wrong = ChildReport(results=[{"error": 0.5}], failure=None)
    yield _why(tmp_path, PlayedRunner(listed=LISTED, compared=wrong))


def _why(tmp_path: Path, runner: Any) -> str:
    """Say what the choice says; without a ``runner`` there is no loader."""
    library = tmp_path / "libggml-vulkan.so"
    library.touch()
    memory = ResultMemory(directory=None)
    probe = Probe(runner=runner, memory=memory, identity=list, environ={}, has_loader=lambda _name: runner is not None)
    comparison = Comparison(runner=runner, memory=memory, identity=list, num_threads=1, cpu="")
    backends = {"vulkan": library}
    chooser = DeviceChooser(wanted="auto", backends=backends, probe=probe, comparison=comparison, memory=memory)
    return chooser.preview()[1]


def other_reasons(tmp_path: Path) -> Iterator[str]:
    """What is said about threads, the context, pictures and kept chats."""
    yield from (choose_threads(tmp_path, frozenset(range(count))).why for count in (1, 8))
    for name, content in (("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", "150000 100000")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(content)
    yield choose_threads(tmp_path, frozenset(range(8))).why
    yield from (choose_context(*both).why for both in ((0, 2048), (5000, 2048), (1000, 2048), (1000, 0), (4096, 16384)))
    yield from ("4 physical cores usable", "1 physical core usable", "2 physical cores; 4 hardware threads share them")
    yield from (SMALL_MODEL, NO_PROJECTOR, SWITCHED_OFF, LOCKED_OFF, "as set")


def test_reasons_of_the_program_are_given_in_the_readers_language(chat: Page, tmp_path: Path) -> None:
    reasons = [*device_reasons(tmp_path), *other_reasons(tmp_path)]
    assert chat.evaluate(TRANSLATE, reasons) == reasons
    chat.evaluate("async () => (await import('/static/i18n.js')).useLanguage('de')")
    german = chat.evaluate(TRANSLATE, reasons)
    assert "der Container erlaubt 1,5 CPUs" in german
    assert "die Grenze des Modells; gewünscht waren 5.000" in german
    assert "12 von 29 Schichten; die Experten von 3 bleiben auf der CPU; KV-Cache mit 8 Bit" in german
    assert "Vulkan: das Gerät Radeon RX 6700 ist ein Renderer in Software, die CPU ist 3,3-mal so schnell" in german
    parts = [both for one, other in zip(reasons, german, strict=True) for both in _parts(one, other)]
    assert [said for said, translated in parts if said == translated] == []


def test_the_page_has_words_for_no_reason_that_is_not_given(chat: Page, tmp_path: Path) -> None:
    """Each reason is put into a language that answers with the keys of the words."""
    english = json.loads((STATIC_FOLDER / "locales" / "en.json").read_text(encoding="utf-8"))
    keys = {key for key in english if key.startswith("reason.")}
    chat.route("**/locales/de.json", lambda route: route.fulfill(json={key: f"<{key}>" for key in english}))
    chat.evaluate("async () => (await import('/static/i18n.js')).useLanguage('de')")
    told = "; ".join(chat.evaluate(TRANSLATE, [*device_reasons(tmp_path), *other_reasons(tmp_path)]))
    given = {part.strip("<>") for part in told.split("; ")}
    assert {key.removesuffix("_one").removesuffix("_other") for key in keys - given} <= {
        key.removesuffix("_one").removesuffix("_other") for key in given
    }


def _parts(reason: str, translated: str) -> Iterator[tuple[str, str]]:
    return zip(reason.split("; "), translated.split("; "), strict=True)
