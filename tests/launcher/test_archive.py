"""Damaged packed files are refused with one sentence, and never crash the launcher or leave the cache directory."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.launcher import packed_file
from tests.launcher.packed_file import PREFIX, Item, runtime_item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.launcher.conftest import Pack, Packed, Report

NUM_RANDOM_CASES = 1500
DAMAGED = "1"
MACHINE = "3"
SEED = 1


class Driver:
    """Runs cases of ``archive_driver.c`` on one small packed file."""

    def __init__(self, program: Path, directory: Path) -> None:
        """Write the packed file into ``directory``."""
        self._program = program
        self._directory = directory
        self.path = directory / "driven.exe"
        self._scratch = directory / "scratch"
        self._scratch.mkdir()
        items = packed_file.other_items() + packed_file.runtime_items(b"program " * 50)
        self.layout = packed_file.write(self.path, b"launcher", items)
        self.content = self.path.read_bytes()

    def run(self, cases: list[str]) -> list[str]:
        """One line of output for each case; fails when a sanitizer objects."""
        done = subprocess.run(
            [self._program, self.path, self._scratch],
            input="".join(f"{case}\n" for case in cases),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == len(cases), done.stderr
        assert self.path.read_bytes() == self.content
        return lines

    def flips(self, start: int, end: int, mask: int) -> list[str]:
        """Cases that change one byte each of ``start`` to ``end``."""
        return [f"{offset} {self.content[offset] ^ mask}" for offset in range(start, end)]


@pytest.fixture(scope="module")
def driver(sanitized: dict[str, Path]) -> Iterator[Driver]:
    """In memory where possible: thousands of unpacked files would wait for the disk."""
    memory = Path("/dev/shm")
    directory = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=directory, prefix="packer-launcher-") as scratch:
        yield Driver(sanitized["archive_driver"], Path(scratch))


def test_whole_file_is_accepted(driver: Driver) -> None:
    assert driver.run([""]) == ["ok"]


def test_every_shorter_file_is_refused(driver: Driver) -> None:
    size_bytes = driver.layout.size_bytes
    lengths = [*range(0, 9000, 37), *range(9000, size_bytes - 700, 997), *range(size_bytes - 700, size_bytes)]
    for line in driver.run([f"cut {length}" for length in lengths]):
        assert line.startswith(f"{DAMAGED} {driver.path} is damaged: it is cut short"), line
        assert line.endswith("Copy or download it again.")


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_every_byte_of_the_trailer_matters(driver: Driver, mask: int) -> None:
    start, end = driver.layout.trailer
    versions = range(12, 16)
    for offset, line in enumerate(driver.run(driver.flips(start, end, mask))):
        expected = "ok" if offset in versions else f"{DAMAGED} "
        assert line.startswith(expected), (offset, line)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_changed_central_record_is_refused_or_harmless(driver: Driver, mask: int) -> None:
    """Versions, times, attributes and the low permission bits don't matter here; the names of others neither."""
    harmless = {4, *range(6, 8), *range(12, 16), *range(34, 40), 40}
    for name, (start, end) in driver.layout.records.items():
        for offset, line in enumerate(driver.run(driver.flips(start, end, mask))):
            if name.startswith(PREFIX) and offset not in harmless and not 46 <= offset < 46 + len(name):
                ours_by_permission = offset == 41 and (mask & 0xF0) == 0
                assert line.startswith(f"{DAMAGED} ") or ours_by_permission, (name, offset, line)
            assert line == "ok" or line[0] in DAMAGED + MACHINE, (name, offset, line)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_changed_local_header_is_refused(driver: Driver, mask: int) -> None:
    harmless = {4, 5, *range(10, 14)}
    for name, (start, end) in driver.layout.local_headers.items():
        for offset, line in enumerate(driver.run(driver.flips(start, end, mask))):
            expected = "ok" if offset in harmless or not name.startswith(PREFIX) else f"{DAMAGED} "
            assert line.startswith(expected), (name, offset, line)


@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_changed_data_is_refused(driver: Driver, mask: int) -> None:
    for name, (start, end) in driver.layout.data.items():
        if name.startswith(PREFIX):
            for offset, line in enumerate(driver.run(driver.flips(start, end, mask))):
                assert line.startswith(f"{DAMAGED} "), (name, offset, line)


def test_random_damage_never_crashes(driver: Driver) -> None:
    generator = random.Random(SEED)
    interesting = [*driver.layout.records.values(), *driver.layout.local_headers.values(), driver.layout.trailer]
    interesting += [driver.layout.data[f"{PREFIX}chat"], driver.layout.data[f"{PREFIX}_internal/base_library.zip"]]
    cases = []
    for _ in range(NUM_RANDOM_CASES):
        changes = []
        for _ in range(generator.choice([1, 2, 4, 16])):
            start, end = generator.choice(interesting)
            value = generator.choice([0, 1, 0x7F, 0x80, 0xFF, generator.randrange(256)])
            changes.append(f"{generator.randrange(start, end)} {value}")
        cases.append(" ".join(changes))
    assert all(line == "ok" or line[0] in DAMAGED + MACHINE for line in driver.run(cases))


EDGES = [0, 1, 2, 45, 46, 98, 2**16 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
NUMBERS = st.sampled_from(EDGES) | st.integers(min_value=0, max_value=2**64 - 1)


@settings(max_examples=100, deadline=None, database=None)
@given(num_entries=NUMBERS, directory_offset=NUMBERS, directory_bytes=NUMBERS, keep_locator=st.booleans())
def test_end_records_with_arbitrary_values_are_refused(
    driver: Driver, num_entries: int, directory_offset: int, directory_bytes: int, keep_locator: bool
) -> None:
    """The records agree with each other, so that what they say reaches the checks against the file."""
    start, end = driver.layout.trailer
    made = packed_file.trailer(num_entries, directory_offset, directory_bytes)
    assert len(made) == end - start
    locator = range(56, 76) if keep_locator else range(0)
    changes = [f"{start + index} {value}" for index, value in enumerate(made) if index not in locator]
    (line,) = driver.run([" ".join(changes)])
    assert line[0] in DAMAGED + MACHINE


@settings(max_examples=100, deadline=None, database=None)
@given(data=st.data())
def test_directory_of_any_length_is_refused(driver: Driver, data: st.DataObject) -> None:
    """A directory that starts late or early, or counts too few or too many records, is never read past its end."""
    start, _ = driver.layout.trailer
    first = min(begin for begin, _ in driver.layout.records.values())
    shift = data.draw(st.integers(min_value=-200, max_value=start - first).filter(bool))
    num_entries = data.draw(st.integers(min_value=0, max_value=20))
    made = packed_file.trailer(num_entries, first + shift, start - first - shift)
    (line,) = driver.run([" ".join(f"{start + index} {value}" for index, value in enumerate(made))])
    assert line.startswith(DAMAGED) or (num_entries, shift) == (0, start - first)


@pytest.mark.parametrize(
    "path",
    [
        "../escaped",
        "a/../../../escaped",
        "/absolute",
        "a//b",
        "a/",
        "./a",
        "a/.",
        "..",
        "a\\..\\b",
        "c:b",
        "nul\0byte",
        "new\nline",
        "escape\x1b[2J",
        "x" * 256,
        "/".join(["deep"] * 300),
    ],
)
def test_path_that_could_leave_the_cache_is_refused(pack: Pack, path: str) -> None:
    packed = pack(runtime_item(path, b"x"))
    report = packed.run()
    assert report.exit_code == 5, report.stderr
    assert report.stderr.startswith(f"error: {packed.path} is damaged: the entry runtime/linux-x86_64/")
    assert report.stderr.count("\n") == 1
    assert "\x1b" not in report.stderr
    assert not packed.cache.exists()


LINK, DIRECTORY, DEVICE = 0o120777, 0o040755, 0o020644


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (Item(name=f"{PREFIX}a", content=b"/etc", mode=LINK), "isn't a regular file"),
        (Item(name=f"{PREFIX}a", content=b"", mode=DIRECTORY), "isn't a regular file"),
        (Item(name=f"{PREFIX}a", content=b"", mode=DEVICE), "isn't a regular file"),
        (Item(name=f"{PREFIX}a", content=b"x", flags=1 << 11 | 1), "excludes (flags)"),
        (Item(name=f"{PREFIX}a", content=b"x", flags=1 << 11 | 8), "excludes (flags)"),
        (Item(name=f"{PREFIX}a", content=b"x", method=8), "unknown compression method"),
        (Item(name=f"{PREFIX}a", content=b"x", size_bytes=2), "has two different sizes"),
        (Item(name=f"{PREFIX}a", content=b"x", crc32=1), "has the wrong checksum"),
        (Item(name=f"{PREFIX}a", content=b"x", local_name=f"{PREFIX}b"), "contradicts the central directory"),
        (Item(name=f"{PREFIX}a", content=b"x" * 99, method=93, size_bytes=98), "declares another size"),
        (Item(name=f"{PREFIX}a", content=b"x" * 99, method=93, size_bytes=100), "declares another size"),
        (Item(name=f"{PREFIX}a", content=b"x", method=93, stored=b""), "ends in the middle of its zstd frame"),
        (Item(name=f"{PREFIX}a", content=b"x", method=93, stored=b"no zstd"), "declares another size"),
        (Item(name=f"{PREFIX}chat", content=b"x"), "appears twice"),
        (Item(name=f"{PREFIX}_internal", content=b"x"), "appears twice, or as a file and as a directory"),
    ],
)
def test_malformed_entry_is_named(pack: Pack, item: Item, expected: str) -> None:
    packed = pack(item)
    report = packed.run()
    assert report.exit_code == 5, report.stderr
    assert item.name in report.stderr
    assert expected in report.stderr
    assert report.stderr.endswith("Copy or download it again.\n")
    assert not packed.entry.exists()
    assert not packed.cache.exists() or packed.litter() == []


def test_file_that_is_also_a_directory_is_refused(pack: Pack) -> None:
    report = pack(runtime_item("chat/x", b"x")).run()
    assert report.exit_code == 5
    assert f"{PREFIX}chat appears twice, or as a file and as a directory" in report.stderr


def frames(*contents: bytes) -> bytes:
    import zstandard

    return b"".join(zstandard.ZstdCompressor().compress(content) for content in contents)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (frames(b"x" * 1000)[:-1], "ends in the middle of its zstd frame"),
        (frames(b"x" * 1000, b""), "holds more than one zstd frame"),
        (frames(b"x" * 1000) + b"\0", "holds more than one zstd frame"),
    ],
)
def test_data_must_be_one_whole_frame(pack: Pack, stored: bytes, expected: str) -> None:
    item = Item(name=f"{PREFIX}a", content=b"x" * 1000, method=93, stored=stored)
    report = pack(item).run()
    assert report.exit_code == 5
    assert expected in report.stderr


@pytest.mark.parametrize(
    "text", [b"", b"x" * 65, b"0" * 64, b"0" * 63 + b"\n", b"A" * 64 + b"\n", b"../" + b"0" * 61 + b"\n", b"0" * 65]
)
def test_runtime_id_must_be_hexadecimal(pack: Pack, chat: bytes, text: bytes) -> None:
    items = [item for item in packed_file.runtime_items(chat) if not item.name.endswith("runtime.id")]
    report = pack(items=[*items, runtime_item("runtime.id", text, compressed=False)]).run()
    assert report.exit_code == 5
    assert "runtime.id isn't 64 hexadecimal digits" in report.stderr


@pytest.mark.parametrize("lost_bytes", [1, 10, 22, 98, 200, 5000])
def test_cut_short_file_says_so(packed: Packed, lost_bytes: int) -> None:
    with packed.path.open("r+b") as file:
        file.truncate(packed.layout.size_bytes - lost_bytes)
    report = packed.run()
    assert report.exit_code == 5
    assert report.stderr.startswith(f"error: {packed.path} is damaged: it is cut short")
    assert report.stderr.endswith("Copy or download it again.\n")


def test_appended_bytes_are_refused(packed: Packed) -> None:
    with packed.path.open("ab") as file:
        file.write(b"more")
    report = packed.run()
    assert report.exit_code == 5
    assert "or bytes were added" in report.stderr


def test_bare_launcher_says_what_is_missing(pack: Pack, launcher: bytes) -> None:
    packed = pack()
    packed.path.write_bytes(launcher)
    report = packed.run()
    assert report.exit_code == 5
    assert "don't finish with an archive's end record" in report.stderr


def run_past(pack: Pack, chat: bytes, gap_bytes: int) -> Report:
    """Put a model and a gap of ``gap_bytes`` before the runtime."""
    model = Item(name="model/big.gguf", content=b"GGUF", align_bytes=65536)
    first, *rest = packed_file.runtime_items(chat)
    far = Item(name=first.name, content=first.content, gap_bytes=gap_bytes)
    packed = pack(items=[model, far, *rest])
    assert packed.path.stat().st_size > gap_bytes
    return packed.run("exit=3")


@pytest.mark.parametrize("gap_bytes", [2**31 - 4096, 2**32 - 300_000, 2**32 + 1, 5 * 2**32])
def test_runtime_behind_a_large_model_is_found(pack: Pack, chat: bytes, gap_bytes: int) -> None:
    """The gap is a hole in the file: it takes no disk space."""
    report = run_past(pack, chat, gap_bytes)
    assert report.exit_code == 3, report.stderr


def test_sizes_may_stand_in_zip64_fields(pack: Pack) -> None:
    packed = pack(Item(name=f"{PREFIX}a", content=b"x" * 5000, zip64_sizes=True))
    assert packed.run("exit=3").exit_code == 3
    assert (packed.entry / "a").read_bytes() == b"x" * 5000


def test_sanitized_launcher_runs_and_cleans_up(pack: Pack, sanitized: dict[str, Path]) -> None:
    """AddressSanitizer's leak check covers every way out that doesn't execute the runtime."""
    instrumented = sanitized["launcher"].read_bytes()
    whole = pack(launcher=instrumented)
    assert whole.run("exit=3").exit_code == 3
    broken = pack(runtime_item("a", b"x"), Item(name=f"{PREFIX}b", content=b"x", crc32=1), launcher=instrumented)
    (whole.entry / "chat").unlink()
    report = broken.run()
    assert report.exit_code == 5, report.stderr
    assert "wrong checksum" in report.stderr
    assert "Sanitizer" not in report.stderr
