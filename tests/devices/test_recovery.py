"""A driver that crashes or hangs inside the program: what is heard of it, what is said, what is remembered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from runtime.devices import recovery
from runtime.devices.device import Device
from runtime.devices.memory import ResultMemory
from runtime.devices.recovery import Recovery, crash_key
from runtime.devices.stall import StallWatch, work_done
from tests.support.program import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runtime.llama.library import Library
    from runtime.restart import Restart

CARD = Device(
    backend="vulkan", index=0, name="Vulkan0", description="RX 6700", kind="discrete", total_bytes=2, free_bytes=1
)
OTHER = Device(backend="vulkan", index=1, name="Vulkan1", description="GT 1030", kind="discrete", total_bytes=2,
               free_bytes=1)  # fmt: skip


class PlayedRestarter:
    """Keeps what it is to hand on, and stays."""

    def __init__(self) -> None:
        self.handed: list[Restart] = []

    def start_again(self, restart: Restart) -> None:
        self.handed.append(restart)


class Silent:
    """In place of what hears of crashes."""

    words = ""

    def __init__(self, *_given: object) -> None:
        self.is_installed = False

    def install(self) -> None:
        self.is_installed = True

    def remove(self) -> None:
        self.is_installed = False


@pytest.fixture
def restarter() -> PlayedRestarter:
    return PlayedRestarter()


@pytest.fixture
def memory(tmp_path: Path) -> ResultMemory:
    return ResultMemory(directory=tmp_path)


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch, restarter: Any, memory: ResultMemory) -> Recovery:
    monkeypatch.setattr(recovery, "CrashSignals", Silent)
    monkeypatch.setattr(recovery, "AbortWords", Silent)
    return Recovery(restarter=restarter, memory=memory)


LIBRARY: Any = SimpleNamespace(base=None, libc=None, log=SimpleNamespace(errors=list))


def test_a_crash_while_loading_starts_again_and_is_remembered(
    watching: Recovery, restarter: PlayedRestarter, memory: ResultMemory, capfd: pytest.CaptureFixture[str]
) -> None:
    watching.port = 8080
    with watching.loading(LIBRARY, (CARD, OTHER)):
        watching._on_crash("SIGSEGV")
    (restart,) = restarter.handed
    words = "RX 6700 (Vulkan) + GT 1030 (Vulkan): the driver crashed (SIGSEGV) while the model was loaded"
    assert (restart.trouble, restart.port, restart.page_is_open) == (words, 8080, False)
    assert capfd.readouterr().err == f"{words}; starting again, on the CPU\n"
    known = memory.recall(crash_key((CARD, OTHER)))
    assert known == {"problem": words, "times": 1}


def test_a_crash_in_use_hands_the_open_page_on(watching: Recovery, restarter: PlayedRestarter) -> None:
    with watching.loading(LIBRARY, (CARD,)):
        pass
    watching.in_use()
    watching.page_is_open = True
    watching._on_crash("x.cu:1: one; two\nthree")
    assert restarter.handed[0].trouble.endswith("the driver crashed (x.cu:1: one, two three) while it was in use")
    assert restarter.handed[0].page_is_open


def test_what_would_be_done_twice_is_not_begun_again(
    watching: Recovery, restarter: PlayedRestarter, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(SystemExit), watching.loading(LIBRARY, (CARD,)):
        watching.may_restart = False
        watching._on_crash("SIGABRT")
    assert (codes, restarter.handed) == ([7], [])
    assert capfd.readouterr().err == (
        "error: RX 6700 (Vulkan): the driver crashed (SIGABRT) while the model was loaded; --gpu off computes on the "
        "CPU\n"
    )


def test_a_crash_at_the_end_spoils_nothing(
    watching: Recovery, restarter: PlayedRestarter, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    with watching.loading(LIBRARY, (CARD,)):
        pass
    watching.in_use()
    watching.ending()
    with pytest.raises(SystemExit):
        watching._on_crash("SIGSEGV")
    assert (codes, restarter.handed, capfd.readouterr().err) == ([0], [], "")


def test_a_run_that_ends_well_is_forgiven(watching: Recovery, memory: ResultMemory) -> None:
    memory.remember_trouble(crash_key((CARD,)), {"problem": "it crashed"})
    for ending in (False, True):
        with watching.loading(LIBRARY, (CARD,)):
            pass
        watching.in_use()
        if ending:
            watching.ending()
        ears = list(watching._ears)
        assert all(ear.is_installed for ear in ears)
        watching.ended()
        assert not any(ear.is_installed for ear in ears)
        assert (memory.recall(crash_key((CARD,))) is None) == ending


def test_on_the_cpu_nobody_listens(watching: Recovery) -> None:
    with watching.loading(LIBRARY, (CARD,)):
        ears = list(watching._ears)
    watching.not_in_use()
    assert ears
    assert not any(ear.is_installed for ear in ears)


# --- what hears of crashes ------------------------------------------------------------------------------------------

HEARS = """
import ctypes, sys, threading
sys.path.insert(0, {checkout!r})
from runtime.devices.crash_signals import AbortWords, CrashSignals
libc = ctypes.CDLL(None)
heard = CrashSignals(libc, lambda cause: print("heard", cause, flush=True))
heard.install()
{before}
thread = threading.Thread(target=lambda: libc.{call})
thread.start()
thread.join()
"""


def crashed(call: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program that calls the C function ``call`` in a thread."""
    source = HEARS.format(checkout=str(CHECKOUT), call=call, before=before)
    command = [sys.executable, "-c", f"import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n{source}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("call", "number"),
    [("abort()", signal.SIGABRT), ("strlen(ctypes.c_void_p(8))", signal.SIGSEGV), ("raise_(8)", signal.SIGFPE)],
)
def test_a_crash_in_a_library_is_heard_and_then_ends_the_process(call: str, number: signal.Signals) -> None:
    done = crashed(call.replace("raise_", "__getattr__('raise')"))
    assert (done.stdout, done.returncode) == (f"heard {number.name}\n", -number), done.stderr


def test_after_removal_nothing_is_heard() -> None:
    done = crashed("abort()", before="heard.remove()")
    assert (done.stdout, done.returncode) == ("", -signal.SIGABRT)


WORDS = """
import ctypes, sys
sys.path.insert(0, {checkout!r})
from runtime.devices.crash_signals import AbortWords, CrashSignals
base, libc = ctypes.CDLL({base!r}), ctypes.CDLL(None)
words = AbortWords(base, lambda: ["one", "GPU error: out of paper", "  in function f"])
words.install()
CrashSignals(libc, lambda cause: print(cause, words.words, flush=True)).install()
base.ggml_abort.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p]
base.ggml_abort(b"/src/ggml/x.cu", 7, {text!r})
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [(b"GPU error", "GPU error: out of paper"), (b"size > 0 failed", "x.cu:7: size > 0 failed")],
)
def test_what_ggml_says_before_it_ends_is_kept(library: Library, text: bytes, words: str) -> None:
    source = WORDS.format(checkout=str(CHECKOUT), base=library.base._name, text=text)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (f"SIGABRT {words}\n", "", -signal.SIGABRT)


# --- what never returns ---------------------------------------------------------------------------------------------


def stalled(work: Sequence[tuple[float, int]], *, gaps_s: Sequence[float] = ()) -> bool:
    """Tell whether a process that did ``work`` from one second to the next is taken for stalled."""
    found = threading.Event()
    left, gaps = iter(work), iter(gaps_s)
    now_s = [0.0]
    is_over = threading.Event()

    def done() -> tuple[float, int]:
        try:
            return next(left)
        except StopIteration:
            is_over.set()
            return (1e9, 0)

    def clock() -> float:
        now_s[0] += next(gaps, 1.0)
        return now_s[0]

    with StallWatch(found.set, limit_s=5.5, poll_s=0.001, done=done, clock=clock):
        is_over.wait(30)
    return found.is_set()


def test_a_process_that_does_nothing_is_stalled() -> None:
    assert stalled([(1.0, 5)] * 8)
    assert stalled([(1.0 + 0.01 * second, second) for second in range(8)])


@pytest.mark.parametrize(
    "work",
    [
        [(1.0, 5)] * 5,
        [(1.0 + second, 5) for second in range(20)],
        [(1.0, 100 * second) for second in range(20)],
        [(1.0 + 0.5 * (second // 4), 5) for second in range(20)],
    ],
    ids=["not for long", "it computes", "it reads", "it computes now and then"],
)
def test_a_process_that_does_something_is_not(work: list[tuple[float, int]]) -> None:
    assert not stalled(work)


def test_a_machine_that_slept_is_not_stalled() -> None:
    assert not stalled([(1.0, 5)] * 5, gaps_s=[1.0, 1.0, 3600.0, 1.0, 1.0])


def test_work_is_measured() -> None:
    seen = [work_done()]
    for _round in range(2):
        sum(index * index for index in range(300_000))
        seen.append(work_done())
    assert all(one[0] < other[0] and one[1] <= other[1] for one, other in pairwise(seen))
