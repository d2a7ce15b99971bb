"""Builds the launcher and its test programs once, and runs packed files made with them."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from packer.toolchain.launcher import launcher_sources
from tests.launcher import packed_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from packer.runtimes.recipe import RuntimeParts

HERE = Path(__file__).parent
LAUNCHER_SOURCES = HERE.parents[1] / "packer" / "launcher"
ZIG_FLAGS = ["-target", "x86_64-linux-musl", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]
TIMEOUT_S = 60


@dataclass(frozen=True, kw_only=True)
class Builder:
    """Compiles C programs into a directory that outlives the test run; equal inputs are compiled once."""

    directory: Path

    def build(self, name: str, command: list[str], sources: list[Path], libraries: list[Path]) -> Path:
        """Run ``command`` on ``sources`` and ``libraries`` (large: known by name and size) unless that was done."""
        digest = hashlib.sha256("\0".join(command).encode())
        headers = LAUNCHER_SOURCES.glob("*.h") if sources else []
        for source in sorted([*sources, *headers]):
            digest.update(source.read_bytes())
        for library in libraries:
            digest.update(f"{library.name} {library.stat().st_size}".encode())
        output = self.directory / f"{name}-{digest.hexdigest()[:16]}"
        if not output.exists():
            partial = output.with_suffix(f".{os.getpid()}")
            arguments = [*command, *map(str, [*sources, *libraries]), "-o", str(partial)]
            done = subprocess.run(arguments, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stderr}"
            partial.replace(output)
        return output


@pytest.fixture(scope="session")
def builder(runtime_parts: RuntimeParts) -> Builder:
    """The compiler of this session; results are kept in the build cache."""
    directory = runtime_parts.tools.cache.root / "launcher-tests"
    directory.mkdir(exist_ok=True)
    return Builder(directory=directory)


@pytest.fixture(scope="session")
def launcher(runtime_parts: RuntimeParts) -> bytes:
    """The launcher as it ships."""
    return runtime_parts.launcher.read_bytes()


@pytest.fixture(scope="session")
def chat(builder: Builder, runtime_parts: RuntimeParts) -> bytes:
    """The program that stands in for the frozen runtime."""
    compiler = [str(runtime_parts.tools.environment.zig), "cc", *ZIG_FLAGS]
    return builder.build("fake_chat", compiler, [HERE / "fake_chat.c"], []).read_bytes()


@pytest.fixture(scope="session")
def sanitized(builder: Builder, runtime_parts: RuntimeParts) -> dict[str, Path]:
    """Programs built from the launcher's sources by gcc with AddressSanitizer and UBSan, by name.

    zstd itself is compiled without them: it is tested upstream, and compiling it so takes too long.
    """
    assert shutil.which("gcc"), "gcc is needed for the sanitizer builds; .ci/run installs it"
    zstd = runtime_parts.tools.sources.zstd
    decoder = builder.build("zstd.o", ["gcc", "-c", "-O1", "-x", "c"], [], [zstd / "zstd.c"])
    command = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", *SANITIZERS, "-pthread", f"-I{zstd}"]
    command += [f"-I{LAUNCHER_SOURCES}"]
    shared = [source for source in launcher_sources("linux") if source.name != "main.c"]
    programs = {"launcher": LAUNCHER_SOURCES / "main.c"}
    programs |= {name: HERE / f"{name}.c" for name in ("archive_driver", "glibc_driver")}
    return {name: builder.build(f"san-{name}", command, [*shared, main], [decoder]) for name, main in programs.items()}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the stand-in program printed, and how the process ended."""

    exit_code: int
    stderr: str
    arguments: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


def parse_report(exit_code: int, stdout: str, stderr: str) -> Report:
    """Parse the output of ``fake_chat.c``."""
    arguments, variables = [], {}
    for line in stdout.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "argument":
            arguments.append(rest)
        elif kind == "variable":
            name, _, value = rest.partition("=")
            variables[name] = value
    return Report(exit_code=exit_code, stderr=stderr, arguments=arguments, variables=variables)


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A packed file in a fresh directory, with a home directory beside it."""

    path: Path
    home: Path
    layout: packed_file.Layout

    @property
    def cache(self) -> Path:
        """Cache directory that a plain start uses."""
        return self.home / ".cache" / "packer-runtimes"

    @property
    def entry(self) -> Path:
        """Directory of the unpacked runtime in that cache."""
        return self.cache / packed_file.RUNTIME_ID

    def environment(self, **variables: str) -> dict[str, str]:
        """Environment of a start: nothing but the home directory and ``variables``."""
        return {"HOME": str(self.home), **variables}

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start the packed file and return at once."""
        return subprocess.Popen(
            [str(self.path), *arguments],
            env=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, wrapper: list[str] | None = None, **variables: str) -> Report:
        """Run the packed file (through ``wrapper``, a command prefix) to its end."""
        done = subprocess.run(
            [*(wrapper or []), str(self.path), *arguments],
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return parse_report(done.returncode, done.stdout, done.stderr)

    def litter(self) -> list[str]:
        """Names in the cache besides the runtime and its lock."""
        expected = {packed_file.RUNTIME_ID, f"{packed_file.RUNTIME_ID}.lock"}
        return sorted(path.name for path in self.cache.iterdir() if path.name not in expected)


class Pack:
    """Makes packed files in a test's own directory."""

    def __init__(self, directory: Path, launcher: bytes, chat: bytes) -> None:
        """``chat`` is the program of the default runtime."""
        self._directory = directory
        self._launcher = launcher
        self._chat = chat

    def __call__(
        self, *extra: packed_file.Item, items: list[packed_file.Item] | None = None, launcher: bytes | None = None
    ) -> Packed:
        """Pack ``items`` (by default a whole small bundle) and ``extra``."""
        home = self._directory / "home"
        home.mkdir(exist_ok=True)
        path = self._directory / "chat.exe"
        if items is None:
            items = packed_file.other_items() + packed_file.runtime_items(self._chat)
        layout = packed_file.write(path, launcher or self._launcher, [*items, *extra])
        return Packed(path=path, home=home, layout=layout)


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Fail when a start fell back to a directory outside the test's own; later starts would find it there."""
    yield
    user = os.geteuid()
    places = [f"{pwd.getpwuid(user).pw_dir}/.cache/packer-runtimes"]
    places += [f"{parent}/packer-runtimes-{user}" for parent in ("/var/tmp", "/tmp")]
    leaked = [path for place in places for path in Path(place).glob(f"{packed_file.RUNTIME_ID}*")]
    for path in leaked:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert leaked == []


@pytest.fixture
def pack(tmp_path: Path, launcher: bytes, chat: bytes) -> Pack:
    """Factory of packed files."""
    return Pack(tmp_path, launcher, chat)


@pytest.fixture
def packed(pack: Pack) -> Packed:
    """A small, whole packed file."""
    return pack()


ISOLATE = """
mount --bind {kept} /mnt
for directory in /root /var/tmp /tmp; do mount -t tmpfs -o mode=1777 none $directory; done
mkdir -p {kept}
mount --bind /mnt {kept}
umount /mnt
mount -t tmpfs none /mnt
"""


@pytest.fixture
def in_namespace(tmp_path: Path) -> Callable[[str], list[str]]:
    """Makes a command prefix that runs a shell script, then the program, in a mount namespace of their own.

    /root, /var/tmp, /mnt and /tmp (but for the test's directory) are empty there. ``$1`` is the packed file.
    """
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine refuses private mount namespaces")
    isolate = ISOLATE.format(kept=tmp_path)
    return lambda script: ["unshare", "-m", "sh", "-ec", f'{isolate}\n{script}\nexec "$@"', "-"]
