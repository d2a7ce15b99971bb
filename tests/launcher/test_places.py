"""The first cache directory that is ours, has room and allows execution is taken; the others are explained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.launcher.conftest import Packed

    Namespace = Callable[[str], list[str]]

NOBODY = 65534


def used(packed: Packed, **options: object) -> str:
    """Directory of the runtime that a start used."""
    report = packed.run(**options)  # type: ignore[arg-type]
    assert report.exit_code == 0, report.stderr
    return str(Path(report.variables["PACKER_CACHE_ENTRY"]).parent)


def test_xdg_cache_home_goes_before_home(packed: Packed, tmp_path: Path) -> None:
    assert used(packed, XDG_CACHE_HOME=str(tmp_path / "new" / "xdg")) == str(tmp_path / "new" / "xdg/packer-runtimes")
    assert not packed.cache.exists()


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_relative_xdg_cache_home_is_ignored(packed: Packed, value: str) -> None:
    assert used(packed, XDG_CACHE_HOME=value) == str(packed.cache)


def test_chosen_directory_is_used_as_it_is(packed: Packed, tmp_path: Path) -> None:
    chosen = tmp_path / "a" / "b"
    assert used(packed, PACKER_CACHE_DIR=str(chosen)) == str(chosen)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("relative", "PACKER_CACHE_DIR must be an absolute path"),
        ("/tmp/a:b", "programs can't load libraries from a path with ':' or ';' in it"),
        ("/proc/packer", "can't be created: No such file or directory"),
        ("/etc/passwd", "can't be opened: Not a directory"),
        ("/etc/passwd/x", "can't be opened: Not a directory"),
    ],
)
def test_unusable_chosen_directory_is_an_error(packed: Packed, value: str, reason: str) -> None:
    report = packed.run(PACKER_CACHE_DIR=value)
    assert report.exit_code == 7
    assert f"\n  {value}: {reason}\n" in report.stderr
    assert not packed.cache.exists(), "no other place is tried"


def test_complete_runtime_in_a_later_place_wins(packed: Packed, tmp_path: Path) -> None:
    assert used(packed) == str(packed.cache)
    assert used(packed, XDG_CACHE_HOME=str(tmp_path / "xdg")) == str(packed.cache)


def test_home_that_does_not_exist_is_not_created(packed: Packed, in_namespace: Namespace) -> None:
    missing = packed.home / "missing"
    assert used(packed, wrapper=in_namespace(""), HOME=str(missing)) == "/root/.cache/packer-runtimes"
    assert not missing.exists()


def test_unset_home_takes_the_user_database(packed: Packed, in_namespace: Namespace) -> None:
    assert used(packed, wrapper=in_namespace("unset HOME")) == "/root/.cache/packer-runtimes"


def test_user_without_home_takes_var_tmp(packed: Packed, in_namespace: Namespace) -> None:
    """The packed file is copied to where that user can read it."""
    script = f"""
    unset HOME
    cp "$1" /var/tmp/chat
    shift
    set -- setpriv --reuid={NOBODY} --clear-groups /var/tmp/chat
    """
    assert used(packed, wrapper=in_namespace(script)) == f"/var/tmp/packer-runtimes-{NOBODY}"


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("mkdir -m 700 $DIR; chown 1234 $DIR", "belongs to another user (uid 1234)"),
        ("mkdir -m 777 $DIR", "other users can write to it; run: chmod go-w '/var/tmp/packer-runtimes-0'"),
        ("mkdir -m 700 /var/tmp/x; ln -s x $DIR", "can't be opened: Not a directory"),
        ("touch $DIR", "can't be opened: Not a directory"),
    ],
)
def test_unsafe_shared_directory_is_refused(packed: Packed, in_namespace: Namespace, harm: str, reason: str) -> None:
    script = f"unset HOME; mount -o remount,ro /root; DIR=/var/tmp/packer-runtimes-0; {harm}"
    assert used(packed, wrapper=in_namespace(script)) == "/tmp/packer-runtimes-0"
    report = packed.run(wrapper=in_namespace(f"{script}\n{READ_ONLY_ELSEWHERE}"))
    assert report.exit_code == 7
    assert f"\n  /var/tmp/packer-runtimes-0: {reason}\n" in report.stderr


READ_ONLY_ELSEWHERE = """
cp "$1" /mnt/chat
shift
set -- /mnt/chat
mount -o remount,ro /mnt
mount -t tmpfs -o ro none /tmp
"""


def test_directory_of_another_user_is_refused(packed: Packed, in_namespace: Namespace) -> None:
    """A program run with sudo must not execute what lies in the caller's cache, nor leave root's files there."""
    packed.cache.mkdir(parents=True)
    os.chown(packed.cache, NOBODY, NOBODY)
    assert used(packed, wrapper=in_namespace("")) == "/root/.cache/packer-runtimes"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("noexec", "its file system is mounted noexec: programs can't run from it"),
        ("size=256k", "its disk has 0 MB free, 2 MB are needed"),
        ("ro", "can't be created: Read-only file system"),
        ("nr_inodes=6", "its disk has no room for 5 more files"),
    ],
)
def test_unsuitable_file_system_is_passed_over(
    packed: Packed, in_namespace: Namespace, options: str, reason: str
) -> None:
    wrapper = in_namespace(f"mount -t tmpfs -o {options} none {packed.home}")
    assert used(packed, wrapper=wrapper) == "/root/.cache/packer-runtimes"
    report = packed.run(wrapper=wrapper, PACKER_CACHE_DIR=str(packed.cache))
    assert report.exit_code == 7
    assert f"\n  {packed.cache}: {reason}" in report.stderr
    assert f"PACKER_CACHE_DIR=/some/writable/directory '{packed.path}'" in report.stderr


def test_incomplete_runtime_makes_room_for_its_successor(packed: Packed, in_namespace: Namespace) -> None:
    """The disk has room for one runtime but not for two."""
    script = f"""
    mount -t tmpfs -o size=2m none {packed.home}
    "$1" > /dev/null
    dd if=/dev/zero of={packed.entry}/chat bs=1k count=1024 2> /dev/null
    """
    report = packed.run("exit=3", wrapper=in_namespace(script), PACKER_CACHE_DIR=str(packed.cache))
    assert report.exit_code == 3, report.stderr


def test_complete_runtime_on_a_read_only_disk_is_used(packed: Packed, in_namespace: Namespace) -> None:
    script = f'mount -t tmpfs none {packed.home}; "$1" > /dev/null; mount -o remount,ro {packed.home}'
    assert used(packed, wrapper=in_namespace(script)) == str(packed.cache)


def test_packed_files_own_directory_comes_last(packed: Packed, in_namespace: Namespace) -> None:
    script = f"""
    cp "$1" /mnt/chat
    shift
    set -- /mnt/chat
    for directory in {packed.home} /root /var/tmp /tmp; do mount -t tmpfs -o ro none $directory; done
    mount -t tmpfs none /run
    """
    assert used(packed, wrapper=in_namespace(script)) == "/mnt/.packer-runtimes"
    assert used(packed, wrapper=in_namespace(script), XDG_RUNTIME_DIR="/run") == "/run/packer-runtimes"


def test_every_place_is_listed_when_none_will_do(packed: Packed, in_namespace: Namespace) -> None:
    script = f"""
    for directory in {packed.home} /root /var/tmp; do mount -t tmpfs -o ro none $directory; done
    {READ_ONLY_ELSEWHERE}
    """
    report = packed.run(wrapper=in_namespace(script))
    assert report.exit_code == 7
    listed = [line.strip().split(": ", 1)[0] for line in report.stderr.splitlines() if line.startswith("  ")]
    assert listed == [
        str(packed.cache),
        "/root/.cache/packer-runtimes",
        "/var/tmp/packer-runtimes-0",
        "/tmp/packer-runtimes-0",
        "/mnt/.packer-runtimes",
    ]
