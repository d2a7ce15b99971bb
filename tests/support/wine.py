"""Runs packed files as Windows programs under Wine, without a display or with one that nobody sees."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packer.toolchain.build_cache import BuildCache


@dataclass(frozen=True, kw_only=True)
class Wine:
    """A Wine with a Windows of its own in ``prefix``, and the X display ``display`` if any."""

    prefix: Path
    display: str = ""

    def environment(self, **variables: str) -> dict[str, str]:
        """Variables for Wine and for the program in it; Wine hands on what it is given."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        wine = {"WINEPREFIX": str(self.prefix), "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree=;mshtml="}
        display = {"DISPLAY": self.display} if self.display else {}
        return {**kept, **wine, **display, "LC_ALL": "C.UTF-8", **variables}

    @contextlib.contextmanager
    def with_display(self, prefix: Path) -> Iterator[Wine]:
        """A copy of this Wine in ``prefix`` that has a display, and so the host's Vulkan; removed in the end.

        A copy, since all programs in one Wine share what its first one found.
        """
        shutil.copytree(self.prefix, prefix, symlinks=True)
        command = ["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert server.stdout is not None
        copy = Wine(prefix=prefix, display=f":{server.stdout.readline().strip()}")
        try:
            with copy.kept_running():
                yield copy
        finally:
            subprocess.run(["wineserver", "-k", "-w"], env=copy.environment(), check=False, timeout=60)
            server.terminate()
            server.wait(timeout=60)
            server.stdout.close()
            shutil.rmtree(prefix)

    @contextlib.contextmanager
    def kept_running(self) -> Iterator[None]:
        """Keep one program running that does nothing, and with it Wine's services, which inherit its streams.

        Services that another program starts would hold that one's streams open, and who reads them would never see
        their end; so this waits until the program answers.
        """
        idle = subprocess.Popen(
            ["wine", "cmd.exe"],
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert idle.stdin is not None
        assert idle.stdout is not None
        try:
            assert idle.stdout.readline()
            yield
        finally:
            idle.stdin.write(b"exit\r\n")
            idle.stdin.close()
            idle.wait(timeout=60)
            idle.stdout.close()

    @property
    def local_app_data(self) -> Path:
        """The user's directory for local data, as Windows sets it up; its variable can't be set from outside."""
        (found,) = self.prefix.glob("drive_c/users/*/AppData/Local")
        return found


def windows_path(path: Path) -> str:
    """The path by which a program in Wine reaches ``path``."""
    return f"Z:{str(path).replace('/', chr(92))}"


def prepared_wine(cache: BuildCache) -> Wine:
    """A Wine whose Windows is set up already; that takes it some seconds, so it is kept in the build cache."""
    assert shutil.which("wine"), "wine is needed for the tests of Windows programs; .ci/run installs it"
    version = subprocess.run(["wine", "--version"], capture_output=True, text=True, check=True).stdout
    digest = "".join(character for character in version if character.isalnum())

    def build(work: Path) -> None:
        environment = Wine(prefix=work).environment()
        subprocess.run(["wineboot", "-i"], env=environment, check=True, capture_output=True, timeout=300)
        subprocess.run(["wineserver", "-w"], env=environment, check=True, timeout=300)

    return Wine(prefix=cache.get_or_build("wine-prefix", digest, build))


@dataclass(frozen=True)
class WineLauncher(program.Launcher):
    """Starts a packed file under Wine, the runtime cache in ``cache``."""

    wine: Wine = field(default_factory=lambda: Wine(prefix=Path("/nonexistent")))

    def environment(self, **env: str) -> dict[str, str]:
        """Nothing but what Wine needs and the place of the cache."""
        return self.wine.environment(PACKER_CACHE_DIR=windows_path(self.cache), **env)

    def ask(self, *arguments: object, **options: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end with nothing on standard input, or ``input``."""
        return self.run(*arguments, prefix=["wine"], input=options.pop("input", ""), **options)


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """Send Ctrl-C to everything that runs in the terminal of ``process``, which leads its session."""
    os.killpg(process.pid, signal.SIGINT)
