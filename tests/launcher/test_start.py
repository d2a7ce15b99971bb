"""A start hands arguments, environment, signals and the exit code through to the runtime."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.launcher import packed_file
from tests.launcher.conftest import Pack, Packed, parse_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_arguments_pass_through_unchanged(packed: Packed) -> None:
    given = ["--flag", "two words", "", "ünï", "-", "*", "exit=0"]
    report = packed.run(*given)
    assert report.exit_code == 0, report.stderr
    assert report.arguments == [str(packed.path), *given]
    assert report.stderr == ""


@pytest.mark.parametrize("exit_code", [0, 1, 7, 255])
def test_exit_code_passes_through(packed: Packed, exit_code: int) -> None:
    assert packed.run(f"exit={exit_code}").exit_code == exit_code


def test_environment_names_the_file_and_the_runtime(packed: Packed) -> None:
    report = packed.run(OTHER="kept")
    assert report.variables["PACKER_BUNDLE"] == str(packed.path)
    assert report.variables["PACKER_CACHE_ENTRY"] == str(packed.entry)
    assert report.variables["OTHER"] == "kept"
    assert "PACKER_ORIG_LD_LIBRARY_PATH" not in report.variables


def test_unpacked_files_are_the_packed_ones(packed: Packed, chat: bytes) -> None:
    packed.run()
    for item in packed_file.runtime_items(chat):
        path = packed.entry / item.name.removeprefix(packed_file.PREFIX)
        assert path.read_bytes() == item.content
        assert path.stat().st_mode & 0o777 == item.mode & 0o777
    assert packed.litter() == []


def test_second_start_unpacks_nothing(packed: Packed) -> None:
    packed.run()
    before = (packed.entry / "chat").stat()
    report = packed.run(PACKER_LAUNCHER_TRACE="1")
    after = (packed.entry / "chat").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert "unpacked" not in report.stderr


def test_started_through_a_link_and_the_search_path(packed: Packed, tmp_path: Path) -> None:
    link = tmp_path / "bin" / "assistant"
    link.parent.mkdir()
    link.symlink_to(packed.path)
    done = subprocess.run(
        ["env", "assistant", "x"],
        env=packed.environment(PATH=f"{link.parent}:/usr/bin:/bin"),
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    report = parse_report(0, done.stdout, done.stderr)
    assert report.variables["PACKER_BUNDLE"] == str(packed.path)
    assert report.arguments == [str(packed.path), "x"]


def test_host_library_path_goes_first_and_the_old_one_is_kept(packed: Packed) -> None:
    report = packed.run(LD_LIBRARY_PATH="/opt/a:/opt/b", PACKER_FORCE_LIBC="host")
    assert report.variables["LD_LIBRARY_PATH"] == f"{packed.entry}/lib:/opt/a:/opt/b"
    assert report.variables["PACKER_ORIG_LD_LIBRARY_PATH"] == "/opt/a:/opt/b"


def test_empty_library_path_adds_no_component(packed: Packed) -> None:
    """An empty component would mean the current directory."""
    report = packed.run(LD_LIBRARY_PATH="", PACKER_FORCE_LIBC="host")
    assert report.variables["LD_LIBRARY_PATH"] == f"{packed.entry}/lib"
    assert report.variables["PACKER_ORIG_LD_LIBRARY_PATH"] == ""


def test_original_library_path_of_an_outer_start_is_not_inherited(packed: Packed) -> None:
    report = packed.run(PACKER_ORIG_LD_LIBRARY_PATH="/stale")
    assert "PACKER_ORIG_LD_LIBRARY_PATH" not in report.variables


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, "glibc.malloc.hugetlb=1"),
        ("", "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.arena_max=1", "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
    ],
)
def test_large_allocations_get_huge_pages_unless_the_user_decided(
    packed: Packed, before: str | None, expected: str
) -> None:
    variables = packed.run(**({} if before is None else {"GLIBC_TUNABLES": before})).variables
    assert variables["GLIBC_TUNABLES"] == expected
    assert variables.get("PACKER_ORIG_GLIBC_TUNABLES") == before


def test_started_by_another_frozen_program_resets_its_bootloader(packed: Packed) -> None:
    assert packed.run(_PYI_ARCHIVE_FILE="/x").variables["PYINSTALLER_RESET_ENVIRONMENT"] == "1"
    assert "PYINSTALLER_RESET_ENVIRONMENT" not in packed.run().variables


def test_carried_c_library_runs_through_its_loader(packed: Packed) -> None:
    report = packed.run("x", LD_LIBRARY_PATH="/opt/a", PACKER_FORCE_LIBC="carried")
    loader = packed.entry / "libc" / "ld-linux-x86-64.so.2"
    assert report.arguments == [str(loader), str(packed.entry / "chat"), "x"]
    assert report.variables["PACKER_LIBC"] == "carried"
    assert report.variables["LD_LIBRARY_PATH"] == f"{packed.entry}/libc"
    assert report.variables["PACKER_ORIG_LD_LIBRARY_PATH"] == "/opt/a"


def host_glibc() -> tuple[int, int]:
    """Version of the glibc of this machine."""
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (OSError, ValueError):
        version = ""
    if not version.startswith("glibc "):
        pytest.skip("this machine has no glibc")
    major, minor = version.removeprefix("glibc ").split(".")[:2]
    return int(major), int(minor)


@pytest.mark.parametrize(("newer_by", "expected"), [(-1, "host"), (0, "host"), (1, "carried")])
def test_c_library_is_chosen_by_the_required_version(pack: Pack, chat: bytes, newer_by: int, expected: str) -> None:
    major, minor = host_glibc()
    required = packed_file.runtime_item("requires-glibc", f"{major}.{minor + newer_by}\n".encode())
    items = [item for item in packed_file.runtime_items(chat) if item.name != required.name]
    assert pack(items=[*items, required]).run().variables["PACKER_LIBC"] == expected


@pytest.mark.parametrize("text", [b"", b"\n", b"2\n", b"glibc\n", b"2.x\n"])
def test_unreadable_requirement_takes_the_carried_c_library(pack: Pack, chat: bytes, text: bytes) -> None:
    required = packed_file.runtime_item("requires-glibc", text)
    items = [item for item in packed_file.runtime_items(chat) if item.name != required.name]
    assert pack(items=[*items, required]).run().variables["PACKER_LIBC"] == "carried"


def test_runtime_without_carried_c_library_takes_the_hosts(pack: Pack, chat: bytes) -> None:
    items = [
        packed_file.runtime_item("requires-glibc", b"9.99\n") if item.name.endswith("requires-glibc") else item
        for item in packed_file.runtime_items(chat)
        if "/libc/" not in item.name
    ]
    assert pack(items=items).run().variables["PACKER_LIBC"] == "host"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signals_reach_the_runtime(packed: Packed, number: signal.Signals) -> None:
    with packed.start("wait") as process:
        assert process.stdout is not None
        while process.stdout.readline() not in {"end\n", ""}:
            pass
        process.send_signal(number)
    assert process.returncode == -number


def test_closed_standard_streams_are_harmless(packed: Packed) -> None:
    """A file that took descriptor 2 would receive our messages."""
    done = subprocess.run(["sh", "-c", 'exec "$0" exit=4 <&- >&- 2>&-', packed.path], env=packed.environment())
    assert done.returncode == 4
    assert packed.run("exit=5").exit_code == 5


def test_program_that_cannot_start_is_explained(pack: Pack) -> None:
    packed = pack(items=packed_file.runtime_items(b"neither a script nor a program"))
    report = packed.run()
    assert report.exit_code == 7
    assert str(packed.entry / "chat") in report.stderr
    assert "Exec format error" in report.stderr


def test_missing_program_is_explained(pack: Pack, chat: bytes) -> None:
    items = [item for item in packed_file.runtime_items(chat) if not item.name.endswith("/chat")]
    report = pack(items=items).run()
    assert report.exit_code == 7
    assert "No such file or directory" in report.stderr


def test_bundle_for_another_system_is_explained(pack: Pack) -> None:
    packed = pack(items=packed_file.other_items())
    report = packed.run()
    assert report.exit_code == 7
    assert report.stderr == (
        f"error: {packed.path} holds no runtime for this machine (linux-x86_64). Pack it again for this target.\n"
    )


def test_without_proc_the_file_is_still_found(packed: Packed, in_namespace: Callable[[str], list[str]]) -> None:
    report = packed.run("x", wrapper=in_namespace("mount -t tmpfs none /proc"))
    assert report.exit_code == 0, report.stderr
    assert report.variables["PACKER_BUNDLE"] == str(packed.path)
    assert report.arguments == [str(packed.entry / "chat"), "x"]


def test_carried_c_library_without_proc_is_explained(packed: Packed, in_namespace: Callable[[str], list[str]]) -> None:
    """PyInstaller's bootloader finds the loader it was run by in /proc alone."""
    report = packed.run(wrapper=in_namespace("mount -t tmpfs none /proc"), PACKER_FORCE_LIBC="carried")
    assert report.exit_code == 7
    assert "Mount it: mount -t proc proc /proc" in report.stderr
