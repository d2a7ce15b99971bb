"""Unpacking on Windows, under Wine: once, whole or not at all, where the user's local data go."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from tests.support.wine import WineLauncher

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.wine import Wine


def test_it_unpacks_once_below_local_app_data(packed_exe: Path, windows: Wine, tmp_path: Path) -> None:
    launcher = WineLauncher(packed_exe, tmp_path, wine=windows)
    environment = windows.environment(PACKER_LAUNCHER_TRACE="1")
    cache = windows.local_app_data / "packer-runtimes"
    shutil.rmtree(cache, ignore_errors=True)
    first = launcher.run("--version", prefix=["wine"], env=environment, input="")
    assert first.returncode == 0, first.stderr
    assert "unpacked" in first.stderr
    (entry,) = [path for path in cache.iterdir() if path.is_dir()]
    before = {path: path.stat().st_mtime_ns for path in entry.rglob("*")}
    second = launcher.run("--version", prefix=["wine"], env=environment, input="")
    assert second.returncode == 0
    assert "unpacked" not in second.stderr
    assert {path: path.stat().st_mtime_ns for path in entry.rglob("*")} == before


def test_a_kill_in_mid_unpack_leaves_nothing_that_is_trusted(packed_exe: Path, windows: Wine, tmp_path: Path) -> None:
    launcher = WineLauncher(packed_exe, tmp_path, wine=windows)
    process = subprocess.Popen(
        ["wine", str(packed_exe), "--version"],
        env=launcher.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not any(tmp_path.glob("*.tmp.*/_internal/*")):
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert any(tmp_path.glob("*.tmp.*")), "it was killed too late"
    done = launcher.ask("--version")
    assert done.returncode == 0, done.stderr
    assert not any(tmp_path.glob("*.tmp.*"))
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_a_runtime_that_lost_a_file_is_unpacked_again(packed_exe: Path, windows: Wine, tmp_path: Path) -> None:
    launcher = WineLauncher(packed_exe, tmp_path, wine=windows)
    assert launcher.ask("--version").returncode == 0
    lost = next(tmp_path.glob("*/_internal/python3*.dll"))
    lost.unlink()
    assert launcher.ask("--version").returncode == 0
    assert lost.exists()


def test_a_relative_cache_directory_is_refused(packed_exe: Path, windows: Wine, tmp_path: Path) -> None:
    launcher = WineLauncher(packed_exe, tmp_path, wine=windows)
    environment = windows.environment(PACKER_CACHE_DIR="cache")
    done = launcher.run(prefix=["wine"], env=environment, input="")
    assert done.returncode == 7
    assert "absolute" in done.stderr


def test_the_runtime_ends_with_a_launcher_that_is_killed(packed_exe: Path, windows: Wine, windows_cache: Path) -> None:
    launcher = WineLauncher(packed_exe, windows_cache, wine=windows)
    with launcher.serving(prefix=["wine"]) as server:
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + 20
        answers = True
        while answers and time.monotonic() < deadline:
            try:
                server.request("/health")
                time.sleep(0.05)
            except OSError:
                answers = False
    assert not answers
