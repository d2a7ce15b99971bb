"""Where a packed file runs: bare environments, no network, read-only places, old and empty systems."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from packer.toolchain.build_cache import default_build_cache
from tests.support import program

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROOT = "/usr/sbin/chroot"
ASK = ("-p", "Hello", "--max-tokens", "4", "--temperature", "0")


@pytest.fixture(scope="module")
def answer(packed: Path, runtime_cache: Path) -> str:
    """What the packed file answers on this system."""
    done = program.Launcher(packed, runtime_cache).run(*ASK)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def mounted(*arguments: object) -> Iterator[None]:
    """Mount something; the last argument is the mount point."""
    subprocess.run(["mount", *map(str, arguments)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(arguments[-1])], check=True)


def test_from_an_empty_directory_with_no_environment(packed: Path, answer: str, tmp_path: Path) -> None:
    """``env -i``: HOME is unset too, so the cache goes where the system keeps such things."""
    empty = tmp_path / "empty"
    empty.mkdir()
    done = program.Launcher(packed, tmp_path).run(*ASK, env={}, cwd=empty)
    assert (done.returncode, done.stdout) == (0, answer), done.stderr
    assert list(empty.iterdir()) == []


def test_it_leaves_nothing_in_home_but_its_cache(packed: Path, answer: str, tmp_path: Path) -> None:
    """A complete runtime elsewhere is used rather than unpacked again, so HOME may even stay empty."""
    done = program.Launcher(packed, tmp_path).run(*ASK, env={"HOME": str(tmp_path)})
    assert (done.returncode, done.stdout) == (0, answer), done.stderr
    assert {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*") if path.is_file()} <= {
        (".cache", "packer-runtimes")
    }


def test_without_any_network(packed: Path, answer: str, runtime_cache: Path) -> None:
    done = program.Launcher(packed, runtime_cache).run(*ASK, prefix=("unshare", "-rn"))
    assert (done.returncode, done.stdout) == (0, answer), done.stderr


def test_it_serves_without_any_network_but_loopback(packed: Path, runtime_cache: Path) -> None:
    """Inside a network namespace with only ``lo``, curl's place is taken by the file's own health page."""
    script = (
        "ip link set lo up 2>/dev/null || true; "
        f"{packed} --no-browser --port 8123 & pid=$!; "
        'for i in $(seq 300); do python3 -c "import urllib.request as r; '
        "print(r.urlopen('http://127.0.0.1:8123/health').status)\" 2>/dev/null && break; sleep 0.1; done; "
        "kill $pid; wait $pid"
    )
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", script],
        env={"PACKER_CACHE_DIR": str(runtime_cache), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "200" in done.stdout.split(), done.stdout + done.stderr
    assert done.returncode == 0


def test_by_a_path_with_spaces_and_letters_of_other_scripts(
    packed: Path, answer: str, runtime_cache: Path, tmp_path: Path
) -> None:
    place = tmp_path / "mein Chät 聊天"
    place.mkdir()
    copy = shutil.copy(packed, place / "öffne mich")
    launcher = program.Launcher(Path(copy), runtime_cache)
    assert launcher.run(*ASK).stdout == answer
    script = "./'öffne mich' -p Hello --max-tokens 4 --temperature 0"
    done = subprocess.run(
        ["sh", "-c", script], cwd=place, env=launcher.environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout == answer, done.stderr


def test_through_a_symbolic_link_and_from_the_path(
    packed: Path, answer: str, runtime_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "linked").symlink_to(packed)
    assert program.Launcher(tmp_path / "linked", runtime_cache).run(*ASK).stdout == answer
    environment = {"PACKER_CACHE_DIR": str(runtime_cache), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert program.Launcher(Path("linked"), runtime_cache).run(*ASK, env=environment).stdout == answer


@pytest.mark.usefixtures("as_root")
def test_from_a_read_only_mount(packed: Path, answer: str, runtime_cache: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=200m", "tmpfs", stick):
        shutil.copy(packed, stick / "chat")
        subprocess.run(["mount", "-o", "remount,ro", str(stick)], check=True)
        done = program.Launcher(stick / "chat", runtime_cache).run(*ASK, cwd=stick)
    assert (done.returncode, done.stdout) == (0, answer), done.stderr


@pytest.mark.usefixtures("as_root")
def test_in_a_root_with_nothing_but_the_file(packed: Path, answer: str, tmp_path: Path) -> None:
    """``FROM scratch``: /proc, /dev and /tmp, no C library, no shell; the carried C library serves."""
    root = tmp_path / "root"
    for name in ("proc", "dev", "tmp"):
        (root / name).mkdir(parents=True)
    os.mknod(root / "dev" / "null", 0o20666, os.makedev(1, 3))
    shutil.copy(packed, root / "chat")
    with mounted("-t", "proc", "proc", root / "proc"):
        done = program.Launcher(Path("/chat"), tmp_path).run(*ASK, prefix=(CHROOT, root), env={})
        checked = program.Launcher(Path("/chat"), tmp_path).run("--verify", prefix=(CHROOT, root), env={})
    assert (done.returncode, done.stdout) == (0, answer), done.stderr
    assert checked.returncode == 0, checked.stderr
    assert [path.name for path in (root / "tmp").iterdir()] == ["packer-runtimes-0"]


@pytest.fixture(scope="module")
def debian_11(as_root: None) -> Path:
    """A Debian 11 system (glibc 2.31), fetched once and kept in the build cache."""

    def build(work: Path) -> None:
        subprocess.run(
            ["debootstrap", "--variant=minbase", "bullseye", str(work / "root")], check=True, capture_output=True
        )

    return default_build_cache().get_or_build("debian-bullseye", "0" * 64, build) / "root"


def test_on_debian_11(packed: Path, answer: str, debian_11: Path, tmp_path: Path) -> None:
    place = Path(tempfile.mkdtemp(dir=debian_11 / "opt"))
    shutil.copy(packed, place / "chat")
    inside = Path("/") / place.relative_to(debian_11)
    environment = {"PACKER_CACHE_DIR": str(inside / "cache"), "PATH": "/usr/bin:/bin"}
    try:
        with mounted("-t", "proc", "proc", debian_11 / "proc"):
            launcher = program.Launcher(inside / "chat", tmp_path)
            done = launcher.run(*ASK, prefix=(CHROOT, debian_11), env=environment)
            shown = launcher.run(
                "--info", prefix=(CHROOT, debian_11), env={**environment, "PACKER_LAUNCHER_TRACE": "1"}
            )
    finally:
        shutil.rmtree(place)
    assert (done.returncode, done.stdout) == (0, answer), done.stderr
    assert "carried" in shown.stderr


def test_the_carried_c_library_gives_the_same_answer_here(packed: Path, answer: str, runtime_cache: Path) -> None:
    launcher = program.Launcher(packed, runtime_cache)
    for choice in ("host", "carried"):
        done = launcher.run(*ASK, env=launcher.environment(PACKER_FORCE_LIBC=choice))
        assert (done.returncode, done.stdout) == (0, answer), (choice, done.stderr)


def test_a_loader_path_of_the_user_survives(packed: Path, answer: str, runtime_cache: Path) -> None:
    """LD_LIBRARY_PATH that points somewhere odd must not break the start."""
    launcher = program.Launcher(packed, runtime_cache)
    done = launcher.run(*ASK, env=launcher.environment(LD_LIBRARY_PATH="/nonexistent", PYTHONHOME="/nonexistent"))
    assert (done.returncode, done.stdout) == (0, answer), done.stderr
