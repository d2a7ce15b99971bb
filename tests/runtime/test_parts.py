"""Small parts: log collector, variant names, child environments, memory, logits of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.browser import child_environment, has_display, open_page, start_opener
from runtime.llama.library import CpuVariant
from runtime.llama.log import LEVEL_CONT, LEVEL_DEBUG, LEVEL_ERROR, LEVEL_INFO, LogCollector
from runtime.llama.native_linux import variant_in_maps
from runtime.memory import available_bytes, usage

if TYPE_CHECKING:
    from pathlib import Path


def test_log_lines_come_in_pieces() -> None:
    log = LogCollector()
    log.receive(LEVEL_ERROR, b"error: tensor ")
    log.receive(LEVEL_CONT, b"is missing\n")
    log.receive(LEVEL_INFO, b"fine\n")
    log.receive(LEVEL_DEBUG, b"noise\n")
    log.receive(LEVEL_ERROR, None)
    assert log.errors() == ["error: tensor is missing"]
    assert log.explain() == " (llama.cpp says: error: tensor is missing)"
    log.clear()
    assert log.explain() == ""


def test_the_variant_is_read_from_the_mapped_libraries() -> None:
    maps = "7f00-7f01 r-xp 0 00:00 0 /x/libggml-base.so\n7f02-7f03 r-xp 0 00:00 0 /a b/libggml-cpu-sapphirerapids.so\n"
    assert variant_in_maps(maps) == "sapphirerapids"
    assert variant_in_maps("7f00-7f01 r-xp 0 00:00 0 /x/libggml-base.so\n") is None
    assert str(CpuVariant(name="haswell", features=("AVX2", "FMA"))) == "haswell (AVX2, FMA)"


def test_children_get_the_environment_from_before_the_launcher() -> None:
    environ = {
        "HOME": "/home/me",
        "LD_LIBRARY_PATH": "/cache/lib",
        "PACKER_ORIG_LD_LIBRARY_PATH": "/opt/lib",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "PACKER_BUNDLE": "/chat",
        "PACKER_CACHE_ENTRY": "/cache",
        "_PYI_ARCHIVE_FILE": "x",
        "_MEIPASS2": "y",
    }
    assert child_environment(environ) == {"HOME": "/home/me", "LD_LIBRARY_PATH": "/opt/lib"}
    del environ["PACKER_ORIG_LD_LIBRARY_PATH"]
    assert child_environment(environ) == {"HOME": "/home/me"}


def test_without_a_launcher_the_library_path_is_the_users() -> None:
    assert child_environment({"LD_LIBRARY_PATH": "/opt/lib"}) == {"LD_LIBRARY_PATH": "/opt/lib"}


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ""}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
        ({}, "win32", True),
    ],
)
def test_has_display(environ: dict[str, str], platform: str, expected: bool) -> None:
    assert has_display(environ, platform) is expected


def test_the_browser_is_started_with_a_clean_environment(tmp_path: Path) -> None:
    opener = tmp_path / "xdg-open"
    opener.write_text(f'#!/bin/sh\ncd {tmp_path}\nenv > part\necho "$1" >> part\n/bin/mv part env\n')
    opener.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LD_LIBRARY_PATH": "/cache", "PACKER_CACHE_ENTRY": "/cache"}
    child = start_opener("http://127.0.0.1:1/", environ)
    assert child is not None
    assert child.wait(10) == 0
    text = (tmp_path / "env").read_text()
    assert "http://127.0.0.1:1/" in text
    assert "LD_LIBRARY_PATH" not in text


def test_no_browser_at_all(tmp_path: Path) -> None:
    assert not open_page("http://127.0.0.1:1/", {"PATH": str(tmp_path)})


def test_memory_in_use_tells_its_own_from_what_is_mapped(tmp_path: Path) -> None:
    assert usage(tmp_path) is None
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemAvailable:    2048 kB\n")
    (tmp_path / "proc/self/status").write_text("Name:\tchat\nRssAnon:\t  100 kB\nRssFile:\t 7 kB\nRssShmem:\t 1 kB\n")
    assert usage(tmp_path) == {"own_bytes": 102_400, "mapped_bytes": 7168, "available_bytes": 2 << 20}


def test_memory_is_the_tightest_limit(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9999 kB\nMemAvailable:    2048 kB\n")
    assert available_bytes(tmp_path) == 2 << 20
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("100\n")
    assert available_bytes(tmp_path) == 2 << 20
    (group / "memory.max").write_text("1000\n")
    (group / "memory.stat").write_text("anon 50\nfile 40\n")
    assert available_bytes(tmp_path) == 940
