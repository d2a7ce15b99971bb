"""The runtime is unpacked once, whole, whatever else happens at the same time."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.launcher import packed_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.launcher.conftest import Pack, Packed

NUM_COPIES = 10
BIG_BYTES = 64 * 1024 * 1024
DEADLINE_S = 20


@pytest.fixture
def slow(pack: Pack, chat: bytes) -> Packed:
    """A packed file whose runtime takes long enough to unpack to be interrupted."""
    big = {f"zeros_{index}": bytes(BIG_BYTES) for index in range(4)}
    return pack(items=packed_file.runtime_items(chat, **big))


def wait_for(condition: Callable[[], bool]) -> None:
    """Poll until ``condition`` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.002)


def is_unpacking(packed: Packed) -> bool:
    """Whether a temporary directory holds a file that is not empty."""
    return any(path.stat().st_size > 0 for path in packed.cache.glob("*.tmp.*/_internal/*"))


def test_ten_copies_at_once_unpack_once(packed: Packed) -> None:
    processes = [packed.start(str(index), PACKER_LAUNCHER_TRACE="1") for index in range(NUM_COPIES)]
    outputs = [process.communicate(timeout=DEADLINE_S) for process in processes]
    assert [process.returncode for process in processes] == [0] * NUM_COPIES
    assert sum("unpacked" in stderr for _, stderr in outputs) == 1
    assert all(f"argument {index}\n" in stdout for index, (stdout, _) in enumerate(outputs))
    assert packed.litter() == []


def test_killed_half_way_leaves_nothing_that_a_later_start_trusts(slow: Packed) -> None:
    with slow.start() as process:
        wait_for(lambda: is_unpacking(slow))
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert slow.litter() != []
    assert not slow.entry.exists()
    report = slow.run()
    assert report.exit_code == 0, report.stderr
    assert slow.litter() == []
    assert (slow.entry / "_internal" / "zeros_3").stat().st_size == BIG_BYTES


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_while_unpacking_cleans_up(slow: Packed, number: signal.Signals) -> None:
    with slow.start() as process:
        wait_for(lambda: is_unpacking(slow))
        process.send_signal(number)
        _, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + number
    assert "error" not in stderr
    assert slow.litter() == []
    assert not slow.entry.exists()


def test_ignored_signal_stays_ignored(slow: Packed) -> None:
    """As under nohup."""
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" HUP; exec "$0" exit=3', str(slow.path)], env=slow.environment(), stdout=subprocess.DEVNULL
    )
    with process:
        wait_for(lambda: is_unpacking(slow))
        process.send_signal(signal.SIGHUP)
    assert process.returncode == 3


def test_waits_for_the_copy_that_is_unpacking(packed: Packed) -> None:
    packed.run()
    (packed.entry / "chat").unlink()
    lock = packed.cache / f"{packed_file.RUNTIME_ID}.lock"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = packed.start("exit=3")
        assert process.stderr is not None
        assert process.stderr.readline() == "waiting for another copy to finish unpacking ...\n"
        assert process.poll() is None
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 3


def test_interrupted_while_waiting(packed: Packed) -> None:
    packed.run()
    (packed.entry / "chat").unlink()
    with (packed.cache / f"{packed_file.RUNTIME_ID}.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = packed.start()
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130


def test_complete_runtime_needs_no_lock(packed: Packed) -> None:
    packed.run()
    with (packed.cache / f"{packed_file.RUNTIME_ID}.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert packed.run("exit=3").exit_code == 3


def remove(path: Path) -> None:
    path.unlink()


def shorten(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(3)


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/bin/false")


def take_permission(path: Path) -> None:
    path.chmod(0o644)


@pytest.mark.parametrize("harm", [remove, shorten, replace_by_link, take_permission])
def test_damaged_runtime_is_healed(packed: Packed, chat: bytes, harm: Callable[[Path], None]) -> None:
    packed.run()
    harm(packed.entry / "chat")
    report = packed.run("exit=3")
    assert report.exit_code == 3, report.stderr
    assert (packed.entry / "chat").read_bytes() == chat
    assert packed.litter() == []


def test_emptied_runtime_is_healed(packed: Packed) -> None:
    packed.run()
    for path in sorted(packed.entry.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert packed.run("exit=3").exit_code == 3


def test_file_in_the_place_of_the_runtime_is_replaced(packed: Packed) -> None:
    packed.cache.mkdir(parents=True)
    packed.entry.write_text("not a directory")
    assert packed.run("exit=3").exit_code == 3


def test_files_of_other_runtimes_are_left_alone(packed: Packed) -> None:
    others = [packed.cache / ("f" * 64), packed.cache / f"{'f' * 64}.tmp.1.2", packed.cache / "notes"]
    for other in others:
        other.mkdir(parents=True)
    packed.run()
    assert all(other.is_dir() for other in others)


def test_litter_with_locked_directories_is_removed(packed: Packed) -> None:
    litter = packed.cache / f"{packed_file.RUNTIME_ID}.tmp.1.2" / "locked"
    litter.mkdir(parents=True)
    (litter / "file").write_text("x")
    (litter / "link").symlink_to("/")
    litter.chmod(0o500)
    assert packed.run().exit_code == 0
    assert packed.litter() == []


def test_umask_reaches_the_runtime_but_not_the_cache(packed: Packed) -> None:
    done = subprocess.run(
        ["sh", "-c", 'umask 0777; exec "$0" exit=3', packed.path], env=packed.environment(), check=False
    )
    assert done.returncode == 3
    assert packed.entry.stat().st_mode & 0o777 == 0o755
    assert (packed.entry / "_internal").stat().st_mode & 0o777 == 0o755


def test_failing_writes_leave_nothing_behind(slow: Packed) -> None:
    """A limit on file sizes stands for a disk that fills up after it was found to have room."""
    report = slow.run(
        wrapper=["python3", "-c", LIMIT_FILE_SIZE, str(BIG_BYTES // 2)],
        PACKER_CACHE_DIR=str(slow.cache),
        PATH=os.environ["PATH"],
    )
    assert report.exit_code == 7
    assert f"{slow.cache}: can't write _internal/zeros_" in report.stderr
    assert "File too large" in report.stderr
    assert slow.litter() == []


LIMIT_FILE_SIZE = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_runtimes_unused_for_a_season_go_when_a_new_one_comes(packed: Packed) -> None:
    """Ids that nothing started for 90 days are removed; younger ones, and everything that is no runtime, stay."""
    now = time.time()
    ages_days = {"a" * 64: 200, "b" * 64: 30, "notes": 400}
    for name, age_days in ages_days.items():
        directory = packed.cache / name
        directory.mkdir(parents=True)
        (directory / "file").write_bytes(b"x")
        os.utime(directory, (now - age_days * 86400,) * 2)
    (packed.cache / f"{'a' * 64}.lock").touch()
    assert packed.run().exit_code == 0
    left = {path.name for path in packed.cache.iterdir()}
    assert left >= {"b" * 64, "notes"}
    assert not [name for name in left if name.startswith("a" * 64)]


def test_a_start_marks_its_runtime_as_used(packed: Packed) -> None:
    assert packed.run().exit_code == 0
    entry = next(path for path in packed.cache.iterdir() if path.is_dir())
    long_ago = time.time() - 80 * 86400
    os.utime(entry, (long_ago, long_ago))
    assert packed.run().exit_code == 0
    assert entry.stat().st_mtime > long_ago + 86400
