"""A program that starts itself again: what it hands on, what it makes of it, and that it keeps its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict

import pytest

from runtime.restart import MAX_TROUBLE_CHARACTERS, PIPE_VARIABLE, RESTART_VARIABLE, Restart, Restarter, take_restart
from tests.support.program import CHECKOUT

RESTART = Restart(trouble="GPU: the driver crashed", port=8080, page_is_open=True)


def test_what_is_handed_on_is_taken_once() -> None:
    environ = {RESTART_VARIABLE: json.dumps(asdict(RESTART)), "HOME": "/home/me"}
    assert take_restart(environ) == RESTART
    assert environ == {"HOME": "/home/me"}
    assert take_restart(environ) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", "{}", '{"trouble": 1, "port": 1, "page_is_open": false}',
     '{"trouble": "x", "port": 65536, "page_is_open": false}', '{"trouble": "x", "port": "1", "page_is_open": false}'],
)  # fmt: skip
def test_what_somebody_else_wrote_is_an_ordinary_start(text: str) -> None:
    assert take_restart({RESTART_VARIABLE: text}) is None


def test_words_without_end_are_cut() -> None:
    environ = {RESTART_VARIABLE: json.dumps(asdict(Restart(trouble="x" * 9999)))}
    taken = take_restart(environ)
    assert taken is not None
    assert len(taken.trouble) == MAX_TROUBLE_CHARACTERS


STARTS_AGAIN = """
import os, signal, sys, threading
sys.path.insert(0, {checkout!r})
from runtime.restart import Restart, Restarter
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGSEGV])
code = "import os, signal, sys; from runtime.restart import take_restart; " \\
       "print(os.getpid(), take_restart(os.environ), sys.argv[1:], signal.pthread_sigmask(signal.SIG_BLOCK, ()), " \\
       "signal.alarm(0))"
restarter = Restarter(command=[sys.executable, "-c", code, "--port", "1"],
                      environ={{**os.environ, "PYTHONPATH": {checkout!r}}})
print(os.getpid(), flush=True)
thread = threading.Thread(target=restarter.start_again, args=[Restart(trouble="x")])
thread.start()
thread.join()
"""


def test_it_keeps_its_process_and_its_arguments() -> None:
    """Also when a thread does it that is not the first, and while signals are held back."""
    source = STARTS_AGAIN.format(checkout=str(CHECKOUT))
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60)
    first, second = done.stdout.splitlines()
    assert second == f"{first} {Restart(trouble='x')} ['--port', '1'] set() 0"


def test_where_it_can_not_be_started_again_life_goes_on() -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    Restarter(command=["/nonexistent/program"], environ={}).start_again(RESTART)
    assert signal.alarm(0) == 0
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_the_launchers_pipe_is_no_business_of_linux() -> None:
    reading, writing = os.pipe()
    Restarter(command=["/nonexistent"], environ={PIPE_VARIABLE: str(writing)}).start_again(RESTART)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert stream.read() == b""
