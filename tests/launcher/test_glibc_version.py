"""The version definitions of any file that calls itself libc.so.6 are read without trusting it."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.launcher.test_start import host_glibc

NUM_RANDOM_CASES = 3000
SEED = 2
CANDIDATES = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6"]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A scratch copy of this machine's libc."""
    found = [path for path in CANDIDATES if Path(path).exists()]
    if not found:
        pytest.skip("this machine has no glibc")
    return Path(shutil.copy(found[0], tmp_path / "libc.so.6"))


def versions(program: Path, library: Path, cases: list[str]) -> list[str]:
    """What the driver prints for each case."""
    done = subprocess.run(
        [program, library], input="".join(f"{case}\n" for case in cases), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_newest_version_is_this_machines(sanitized: dict[str, Path], library: Path) -> None:
    (version,) = versions(sanitized["glibc_driver"], library, ["-1 0"])
    assert tuple(map(int, version.split("."))) <= host_glibc()
    assert version.startswith("2.")


def dynamic_section(content: bytes) -> tuple[int, int]:
    """Offset and size of PT_DYNAMIC."""
    program_headers, count = struct.unpack_from("<Q", content, 32)[0], struct.unpack_from("<H", content, 56)[0]
    for index in range(count):
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", content, program_headers + 56 * index)
        if kind == 2:
            return int(offset), int(size)
    raise AssertionError("no PT_DYNAMIC")


def version_definitions(content: bytes) -> int:
    """File offset of DT_VERDEF, which lies in the first segment: its address is its offset."""
    start, size = dynamic_section(content)
    for offset in range(start, start + size, 16):
        tag, value = struct.unpack_from("<QQ", content, offset)
        if tag == 0x6FFFFFFC:
            return int(value)
    raise AssertionError("no DT_VERDEF")


def test_damaged_library_never_crashes(sanitized: dict[str, Path], library: Path) -> None:
    content = library.read_bytes()
    generator = random.Random(SEED)
    dynamic_start, dynamic_bytes = dynamic_section(content)
    definitions = version_definitions(content)
    regions = [(0, 1024), (dynamic_start, dynamic_start + dynamic_bytes), (definitions, definitions + 1600)]
    cases = []
    for _ in range(NUM_RANDOM_CASES):
        start, end = generator.choice(regions)
        value = generator.choice([0, 1, 0x7F, 0x80, 0xFF, generator.randrange(256)])
        cases.append(f"{generator.randrange(start, end)} {value}")
    results = versions(sanitized["glibc_driver"], library, cases)
    assert len(results) == len(cases)
    assert "none" in results, "some damage must make the library unreadable"


@pytest.mark.parametrize("size_bytes", [0, 1, 63, 64, 1000, 5000, 100_000])
def test_cut_short_library_is_none_or_read(sanitized: dict[str, Path], library: Path, size_bytes: int) -> None:
    os.truncate(library, size_bytes)
    (version,) = versions(sanitized["glibc_driver"], library, ["-1 0"])
    assert version == "none" or version.startswith("2.")


@pytest.mark.parametrize(
    "content", [b"/* GNU ld script */\nGROUP ( libc.so.6 )\n", b"\x7fELF\x01\x01\x01" + bytes(200)]
)
def test_other_files_are_no_glibc(sanitized: dict[str, Path], library: Path, content: bytes) -> None:
    library.write_bytes(content)
    assert versions(sanitized["glibc_driver"], library, ["-1 0"]) == ["none"]
