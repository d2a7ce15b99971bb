"""Reads a container: finds the archive by its end record, checks it against the format, verifies every byte.

Nothing found in the file is trusted: each length and offset is checked against the size of the file before it is
used, and a directory that the format would not have written byte for byte is refused. ``layout`` is the
specification. The reader never extracts to disk; callers who do get names already proven harmless.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from packer.container import layout, pe_signature
from packer.container.manifest import Manifest, parse_manifest
from packer.errors import DamagedError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Progress = Callable[[int], None]

CHUNK_BYTES = 1024 * 1024
MAX_MANIFEST_BYTES = 16 * 1024 * 1024
EXECUTABLE_MAGICS = (b"\x7fELF", b"MZ")


def read_at(stream: BinaryIO, count: int, offset_bytes: int) -> bytes:
    """Read up to ``count`` bytes at an offset; where the system has no positioned reads, the position moves."""
    if hasattr(os, "pread"):
        return os.pread(stream.fileno(), count, offset_bytes)
    stream.seek(offset_bytes)
    return stream.read(count)


class Bundle:
    """An open container; a context manager. ``path``, ``size_bytes`` and ``entries`` (by name, in file order)."""

    def __init__(self, path: Path, stream: BinaryIO, entries: dict[str, layout.Entry], directory_offset: int) -> None:
        """Take over ``stream``; use :func:`open_bundle` to make one."""
        self.path = path
        self.stream = stream
        self.size_bytes = os.fstat(stream.fileno()).st_size
        self.entries = entries
        self.directory_offset_bytes = directory_offset
        self._manifest: Manifest | None = None
        self._signature_fields = pe_signature.signature_fields(lambda count, offset: read_at(stream, count, offset))

    def __enter__(self) -> Self:
        """Return the bundle itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.stream.close()

    @property
    def manifest(self) -> Manifest:
        """The parsed manifest. Raises DamagedError when it is absent or does not describe this file."""
        if self._manifest is None:
            text = self.read(layout.MANIFEST_NAME, MAX_MANIFEST_BYTES)
            try:
                self._manifest = parse_manifest(json.loads(text))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise DamagedError(f"{self.path}: {layout.MANIFEST_NAME} can't be understood ({error})") from error
        return self._manifest

    def read(self, name: str, limit_bytes: int = CHUNK_BYTES * 64) -> bytes:
        """Return the content of a small entry, CRC checked. Raises DamagedError, naming the entry."""
        entry = self.entries.get(name)
        if entry is None:
            raise DamagedError(f"{self.path}: {name} is missing; the file was changed after it was packed")
        if entry.size_bytes > limit_bytes:
            raise DamagedError(f"{self.path}: {name} claims {entry.size_bytes} bytes, expected at most {limit_bytes}")
        content = b"".join(self.chunks(entry))
        if zlib.crc32(content) != entry.crc32:
            raise DamagedError(f"{self.path}: {name} is damaged (CRC-32 differs); copy or download the file again")
        return content

    def stored_chunks(self, entry: layout.Entry) -> Iterator[bytes]:
        """Yield the bytes of ``entry`` as they stand in the file, in pieces of at most 1 MiB."""
        offset, end = entry.data_offset_bytes, entry.data_offset_bytes + entry.stored_bytes
        while offset < end:
            piece = read_at(self.stream, min(CHUNK_BYTES, end - offset), offset)
            if not piece:
                raise DamagedError(f"{self.path}: {entry.name} ends early; the file is cut short")
            offset += len(piece)
            yield piece

    def chunks(self, entry: layout.Entry) -> Iterator[bytes]:
        """Yield the content of ``entry``, decompressed; at most ``entry.size_bytes`` bytes in all."""
        if entry.method == layout.STORED:
            yield from self.stored_chunks(entry)
            return
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        total = 0
        try:
            for piece in self.stored_chunks(entry):
                content = decompressor.decompress(piece)
                total += len(content)
                if total > entry.size_bytes:
                    break
                yield content
        except zstandard.ZstdError as error:
            raise DamagedError(f"{self.path}: {entry.name} can't be decompressed ({error})") from error
        if total != entry.size_bytes:
            raise DamagedError(f"{self.path}: {entry.name} does not unpack to the {entry.size_bytes} bytes it declares")

    def verify(self, progress: Progress | None = None) -> list[str]:
        """Check every byte of the file and return one sentence for each problem, naming the entry.

        ``progress`` is called with the number of bytes just checked; they add up to the size of the file, nearly.
        """
        report = progress or (lambda _count: None)
        try:
            manifest = self.manifest
        except DamagedError as error:
            return [str(error)]
        problems = self._verify_names(manifest)
        problems += self._verify_launcher(manifest, report)
        previous_end = manifest.launcher_bytes
        position = layout.align_up(previous_end, layout.LAUNCHER_ALIGNMENT_BYTES)
        for entry in self.entries.values():
            problems += self._verify_header(entry, previous_end, position)
            problems += self._verify_content(entry, manifest, report)
            previous_end = position = entry.data_offset_bytes + entry.stored_bytes
        if position != self.directory_offset_bytes:
            problems.append(f"central directory: stands at {self.directory_offset_bytes}, expected {position}")
        return problems

    def _verify_names(self, manifest: Manifest) -> list[str]:
        listed = set(manifest.sha256) | {layout.MANIFEST_NAME}
        present = set(self.entries)
        missing = [f"{name}: listed in the manifest but missing" for name in sorted(listed - present)]
        return missing + [f"{name}: not listed in the manifest" for name in sorted(present - listed)]

    def _verify_launcher(self, manifest: Manifest, report: Progress) -> list[str]:
        digest = hashlib.sha256()
        position = 0
        for piece in self._file_chunks(0, manifest.launcher_bytes):
            digest.update(self._signature_fields.blanked(piece, position))
            position += len(piece)
            report(len(piece))
        if digest.hexdigest() != manifest.launcher_sha256:
            return [f"launcher: SHA-256 is {digest.hexdigest()}, expected {manifest.launcher_sha256}"]
        return []

    def _verify_header(self, entry: layout.Entry, previous_end: int, position: int) -> list[str]:
        """Check the zero gap from ``previous_end`` and the local header, which may stand at ``position`` or after."""
        expected = layout.header_offset_for(entry.name, entry.size_bytes, entry.stored_bytes, position)
        if entry.header_offset_bytes != expected:
            return [f"{entry.name}: stands at {entry.header_offset_bytes}, expected {expected}"]
        if any(any(piece) for piece in self._file_chunks(previous_end, expected - previous_end)):
            return [f"{entry.name}: the padding before it is not zero"]
        header = layout.pack_local_header(entry)
        if read_at(self.stream, len(header), expected) != header:
            return [f"{entry.name}: its local header differs from the central directory"]
        return []

    def _verify_content(self, entry: layout.Entry, manifest: Manifest, report: Progress) -> list[str]:
        digest = hashlib.sha256()
        crc32 = 0
        counted = 0
        try:
            for piece in self.chunks(entry):
                digest.update(piece)
                crc32 = zlib.crc32(piece, crc32)
                counted += len(piece)
                if entry.method == layout.STORED:
                    report(len(piece))
        except DamagedError as error:
            return [f"{entry.name}: {error}"]
        expected = manifest.sha256.get(entry.name, digest.hexdigest())
        if digest.hexdigest() != expected:
            return [f"{entry.name}: SHA-256 is {digest.hexdigest()}, expected {expected}"]
        if crc32 != entry.crc32:
            return [f"{entry.name}: CRC-32 is {crc32:08x}, expected {entry.crc32:08x}"]
        return []

    def _file_chunks(self, offset: int, count: int) -> Iterator[bytes]:
        end = min(offset + count, self.size_bytes)
        while offset < end:
            piece = read_at(self.stream, min(CHUNK_BYTES, end - offset), offset)
            if not piece:
                return
            offset += len(piece)
            yield piece


def open_bundle(path: Path) -> Bundle:
    """Open the container at ``path``. Raises InputError (not one) or DamagedError (one, but broken)."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: can't be opened ({error.strerror})") from error
    try:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise InputError(f"{path}: is not a regular file; give the path of a file made by packer build")
        directory_offset, directory = _find_directory(path, stream)
        entries = _parse_directory(path, directory, directory_offset)
    except BaseException:
        stream.close()
        raise
    return Bundle(path, stream, entries, directory_offset)


def _find_directory(path: Path, stream: BinaryIO) -> tuple[int, bytes]:
    """Locate the central directory from the fixed trailer at the end of the archive; return its offset and bytes."""
    trailer_offset, trailer = _find_trailer(path, stream)
    try:
        zip64_end = layout.ZIP64_END_RECORD.unpack_from(trailer)
    except struct.error as error:
        raise DamagedError(f"{path}: its end record can't be read ({error})") from error
    num_entries, directory_bytes, directory_offset = zip64_end[7:10]
    expected = (
        layout.pack_trailer(num_entries=num_entries, directory_offset=directory_offset, directory_bytes=directory_bytes)
        if directory_offset + directory_bytes < 1 << 63
        else b""
    )
    if trailer != expected or directory_offset + directory_bytes != trailer_offset:
        raise DamagedError(f"{path}: its end record is damaged; copy or download the file again")
    if directory_bytes > layout.MAX_DIRECTORY_BYTES:
        raise DamagedError(f"{path}: its directory claims {directory_bytes} bytes, more than any bundle has")
    directory = read_at(stream, directory_bytes, directory_offset)
    if num_entries * layout.CENTRAL_RECORD.size > directory_bytes or len(directory) != directory_bytes:
        raise DamagedError(f"{path}: its directory is too small for {num_entries} entries")
    return directory_offset, directory


def _find_trailer(path: Path, stream: BinaryIO) -> tuple[int, bytes]:
    """Return offset and bytes of the records that end the archive; only a PE file's signature may follow them."""
    size = os.fstat(stream.fileno()).st_size
    fields = pe_signature.signature_fields(lambda count, offset: read_at(stream, count, offset))
    end = fields.signature_start(size)
    for padding in range(1 if end == size else pe_signature.MAX_PADDING + 1):
        offset = end - padding - layout.TRAILER_BYTES
        if offset < 0:
            break
        trailer = read_at(stream, layout.TRAILER_BYTES, offset)
        if trailer[-layout.END_RECORD.size :][:4] == layout.END_SIGNATURE:
            return offset, trailer
        if trailer[-1:] != b"\0":
            break
    raise _not_a_bundle(path, stream)


def _not_a_bundle(path: Path, stream: BinaryIO) -> DamagedError | InputError:
    if read_at(stream, 4, 0).startswith(EXECUTABLE_MAGICS):
        return DamagedError(
            f"{path}: no archive stands at its end; it was cut short (copy or download it again) "
            "or was not made by packer build"
        )
    return InputError(f"{path}: is not a packed file; expected a file made by packer build")


def _parse_directory(path: Path, directory: bytes, directory_offset: int) -> dict[str, layout.Entry]:
    """Parse and check every central record; the whole must equal what the writer would have written."""
    entries: dict[str, layout.Entry] = {}
    position, previous_end = 0, 0
    while position < len(directory):
        try:
            entry, used = _parse_record(directory, position)
        except (struct.error, ValueError) as error:
            raise DamagedError(f"{path}: its directory is damaged at byte {directory_offset + position}") from error
        problem = _entry_problem(entry, directory[position : position + used], previous_end, directory_offset)
        if problem is None and entry.name in entries:
            problem = "stands in the directory twice"
        if problem is not None:
            raise DamagedError(f"{path}: the directory's record of {entry.name!r} {problem}")
        entries[entry.name] = entry
        previous_end = entry.data_offset_bytes + entry.stored_bytes
        position += used
    return entries


def _parse_record(directory: bytes, position: int) -> tuple[layout.Entry, int]:
    fields = layout.CENTRAL_RECORD.unpack_from(directory, position)
    method, crc32, stored, size = fields[4], fields[7], fields[8], fields[9]
    name_bytes, extra_bytes, attributes, offset = fields[10], fields[11], fields[15], fields[16]
    start = position + layout.CENTRAL_RECORD.size
    name = directory[start : start + name_bytes].decode("utf-8")
    extra = directory[start + name_bytes : start + name_bytes + extra_bytes]
    if extra:
        moved = list(struct.unpack_from(f"<{(len(extra) - 4) // 8}Q", extra, 4))
        size = moved.pop(0) if size == layout.UINT32_MAX else size
        stored = moved.pop(0) if stored == layout.UINT32_MAX and moved else stored
        offset = moved.pop(0) if offset == layout.UINT32_MAX and moved else offset
    entry = layout.Entry(
        name=name,
        method=method,
        crc32=crc32,
        stored_bytes=stored,
        size_bytes=size,
        mode=(attributes >> 16) & 0o777,
        header_offset_bytes=offset,
    )
    return entry, layout.CENTRAL_RECORD.size + name_bytes + extra_bytes


def _entry_problem(entry: layout.Entry, record: bytes, previous_end: int, directory_offset: int) -> str | None:
    """Say what is wrong with a parsed record, or ``None``."""
    if problem := layout.name_problem(entry.name):
        return problem
    if entry.method not in layout.VERSION_NEEDED:
        return f"uses compression method {entry.method}, expected 0 or 93"
    if record != layout.pack_central_record(entry):
        return "is not as packer build writes it"
    if entry.mode not in layout.MODES:
        return f"has mode {entry.mode:o}, expected 644 or 755"
    if entry.method == layout.STORED and entry.stored_bytes != entry.size_bytes:
        return "gives two sizes for stored data"
    if entry.header_offset_bytes < previous_end:
        return "overlaps the entry before it"
    if entry.data_offset_bytes + entry.stored_bytes > directory_offset:
        return "reaches beyond the file"
    return None


def describe_entry(entry: layout.Entry) -> dict[str, Any]:
    """Return an entry as plain JSON values, sizes in bytes."""
    return {
        "name": entry.name,
        "size_bytes": entry.size_bytes,
        "stored_bytes": entry.stored_bytes,
        "method": "zstd" if entry.method == layout.ZSTANDARD else "stored",
        "data_offset_bytes": entry.data_offset_bytes,
        "crc32": f"{entry.crc32:08x}",
    }
