"""The container format: reader and writer are twins, standard tools read it, damage is always named."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packer.container import layout
from packer.container.manifest import Manifest
from packer.container.reader import open_bundle
from packer.container.writer import ContainerWriter, Segment, complete_or_nothing
from packer.errors import DamagedError, InputError, OutputError, PackerError

if TYPE_CHECKING:
    from pathlib import Path

LAUNCHER = b"\x7fELF" + bytes(range(256)) * 20


def write_sample(path: Path, model: bytes = b"GGUF" + os.urandom(100_000), *, launcher: bytes = LAUNCHER) -> Path:
    """A bundle with a compressed entry, a stored one and an aligned model."""
    source = path.with_suffix(".gguf")
    source.write_bytes(model)
    with complete_or_nothing(path, needed_bytes=0) as descriptor:
        writer = ContainerWriter(descriptor, launcher)
        writer.add_bytes("config.toml", b'title = "x"\n')
        writer.add_bytes("runtime/linux-x86_64/chat", b"A" * 50_000, mode=0o755, compress_level=3)
        writer.add_segments("model/tiny.gguf", b"", [Segment(path=source, offset_bytes=0, size_bytes=len(model))])
        writer.finish(
            Manifest(
                packer_version="0",
                title="x",
                model=None,
                targets={},
                launcher_bytes=writer.launcher_bytes,
                launcher_sha256=writer.launcher_sha256,
                sha256=writer.sha256,
            ).to_json()
        )
    return path


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("container") / "chat", b"GGUF" + bytes(range(250)) * 300)


def test_what_is_written_is_read_back(sample: Path) -> None:
    with open_bundle(sample) as bundle:
        assert list(bundle.entries) == [
            "config.toml",
            "runtime/linux-x86_64/chat",
            "model/tiny.gguf",
            "manifest.json",
        ]
        assert bundle.read("runtime/linux-x86_64/chat") == b"A" * 50_000
        assert bundle.read("model/tiny.gguf") == sample.with_suffix(".gguf").read_bytes()
        assert bundle.entries["model/tiny.gguf"].data_offset_bytes % 65536 == 0
        assert bundle.entries["runtime/linux-x86_64/chat"].mode == 0o755
        assert bundle.verify() == []


def test_the_file_starts_with_the_launcher_and_is_executable(sample: Path) -> None:
    assert sample.read_bytes().startswith(LAUNCHER)
    assert os.access(sample, os.X_OK)


def test_python_zipfile_lists_it_and_reads_stored_entries(sample: Path) -> None:
    with zipfile.ZipFile(sample) as archive:
        names = archive.namelist()
        assert "model/tiny.gguf" in names
        assert archive.read("model/tiny.gguf") == sample.with_suffix(".gguf").read_bytes()


@pytest.mark.parametrize("tool", [["unzip", "-l"], ["7z", "l"]])
def test_standard_tools_list_it(sample: Path, tool: list[str]) -> None:
    assert shutil.which(tool[0]), f"{tool[0]} is needed for this test; .ci/run installs it"
    done = subprocess.run([*tool, str(sample)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model/tiny.gguf" in done.stdout.replace("\\", "/")


def test_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    one = write_sample(tmp_path / "one", b"GGUF" * 1000)
    two = write_sample(tmp_path / "two", b"GGUF" * 1000)
    assert one.read_bytes() == two.read_bytes()


def test_segments_and_padding_make_one_entry(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"0123456789")
    path = tmp_path / "chat"
    with complete_or_nothing(path, needed_bytes=0) as descriptor:
        writer = ContainerWriter(descriptor, LAUNCHER)
        parts = [
            Segment(path=source, offset_bytes=2, size_bytes=3, pad_after_bytes=5),
            Segment(path=source, offset_bytes=0, size_bytes=1, pad_after_bytes=2),
        ]
        writer.add_segments("model/a.gguf", b"HEAD", parts)
        writer.finish(b"{}")
    with open_bundle(path) as bundle:
        assert bundle.read("model/a.gguf") == b"HEAD234\0\0\0\0\0" + b"0\0\0"


def test_sizes_and_offsets_beyond_4_gib(tmp_path: Path) -> None:
    """A sparse 4.5 GB model: ZIP64 fields appear and Python's own zipfile agrees with our reader."""
    source = tmp_path / "big"
    with source.open("wb") as stream:
        stream.truncate(4_500_000_000)
    path = tmp_path / "chat"
    entries = [
        layout.Entry(
            name="model/big.gguf",
            method=0,
            crc32=1,
            stored_bytes=4_500_000_000,
            size_bytes=4_500_000_000,
            mode=0o644,
            header_offset_bytes=layout.header_offset_for("model/big.gguf", 4_500_000_000, 4_500_000_000, 4096),
        )
    ]
    end = entries[0].data_offset_bytes + entries[0].stored_bytes
    entries.append(
        layout.Entry(name="after", method=0, crc32=0, stored_bytes=0, size_bytes=0, mode=0o644, header_offset_bytes=end)
    )
    with path.open("wb") as stream:
        for entry in entries:
            stream.seek(entry.header_offset_bytes)
            stream.write(layout.pack_local_header(entry))
        directory = b"".join(layout.pack_central_record(entry) for entry in entries)
        offset = stream.tell()
        stream.write(directory)
        stream.write(layout.pack_trailer(num_entries=2, directory_offset=offset, directory_bytes=len(directory)))
    with open_bundle(path) as bundle:
        assert bundle.entries["model/big.gguf"] == entries[0]
        assert bundle.entries["after"] == entries[1]
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("model/big.gguf")
        assert (info.file_size, info.header_offset) == (4_500_000_000, entries[0].header_offset_bytes)
        assert archive.getinfo("after").header_offset == end


def test_a_flipped_byte_anywhere_is_noticed(sample: Path, tmp_path: Path) -> None:
    """Every region of the file: launcher, padding, headers, data, directory, end records."""
    whole = sample.read_bytes()
    with open_bundle(sample) as bundle:
        entries = list(bundle.entries.values())
        directory = bundle.directory_offset_bytes
    places = [5, len(LAUNCHER) + 1, *range(directory, len(whole), 7)]
    for entry in entries:
        places += [*range(entry.header_offset_bytes, entry.data_offset_bytes, 5)]
        places += [entry.data_offset_bytes, entry.data_offset_bytes + entry.stored_bytes - 1]
    places.append(entries[2].header_offset_bytes - 1)
    damaged = tmp_path / "damaged"
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 0x40
        damaged.write_bytes(changed)
        try:
            with open_bundle(damaged) as bundle:
                problems = bundle.verify()
        except PackerError as error:
            problems = [str(error)]
        assert problems, f"a flipped byte at {place} went unnoticed"


def test_damage_names_the_entry(sample: Path, tmp_path: Path) -> None:
    changed = bytearray(sample.read_bytes())
    with open_bundle(sample) as bundle:
        changed[bundle.entries["model/tiny.gguf"].data_offset_bytes + 9] ^= 1
    damaged = tmp_path / "damaged"
    damaged.write_bytes(changed)
    with open_bundle(damaged) as bundle:
        problems = bundle.verify()
    assert len(problems) == 1
    assert problems[0].startswith("model/tiny.gguf: SHA-256 is ")


def test_every_cut_is_refused_with_one_sentence(sample: Path, tmp_path: Path) -> None:
    whole = sample.read_bytes()
    cut = tmp_path / "cut"
    for length in [0, 1, 21, 22, 97, 98, 4096, *range(len(whole) - 200, len(whole)), len(whole) // 2]:
        cut.write_bytes(whole[:length])
        with pytest.raises((DamagedError, InputError)) as caught:
            open_bundle(cut)
        assert str(cut) in str(caught.value)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_mutation_makes_the_reader_do_anything_but_refuse(sample: Path, tmp_path: Path, data: st.DataObject) -> None:
    """The directory and end records overwritten with anything: only PackerError comes out, and verify returns."""
    whole = bytearray(sample.read_bytes())
    start = data.draw(st.integers(len(whole) - 500, len(whole) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=40))
    whole[start : start + len(patch)] = patch[: len(whole) - start]
    path = tmp_path / "mutated"
    path.write_bytes(whole)
    try:
        with open_bundle(path) as bundle:
            bundle.verify()
    except PackerError as error:
        assert str(error)


@pytest.mark.parametrize("name", ["", "/abs", "../up", "a/../b", "a//b", "a\\b", "c:/x", "a/./b", "n\0ul"])
def test_harmful_names_are_refused(name: str, tmp_path: Path) -> None:
    assert layout.name_problem(name)
    with pytest.raises(InputError), complete_or_nothing(tmp_path / "x", needed_bytes=0) as descriptor:
        ContainerWriter(descriptor, b"").add_bytes(name, b"")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), complete_or_nothing(tmp_path / "x", needed_bytes=0):
        raise KeyboardInterrupt
    with pytest.raises(OutputError, match="free"), complete_or_nothing(tmp_path / "x", needed_bytes=1 << 60):
        pass
    with pytest.raises(OutputError, match="directory"), complete_or_nothing(tmp_path, needed_bytes=0):
        pass
    with pytest.raises(OutputError, match="No such file"), complete_or_nothing(tmp_path / "no" / "x", needed_bytes=0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_shrinks_is_reported(tmp_path: Path) -> None:
    source = tmp_path / "m.gguf"
    source.write_bytes(b"short")
    with (
        pytest.raises(InputError, match=r"m\.gguf: ended"),
        complete_or_nothing(tmp_path / "x", needed_bytes=0) as descriptor,
    ):
        ContainerWriter(descriptor, LAUNCHER).add_segments(
            "model/m.gguf", b"", [Segment(path=source, offset_bytes=0, size_bytes=5_000_000)]
        )
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]
