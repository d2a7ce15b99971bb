"""Writes a container: the twin of ``reader``, following ``layout`` byte for byte.

Data is copied by the kernel where it can (``copy_file_range``: a reflink on file systems that share blocks) while a
second thread computes SHA-256 and CRC-32 from the page cache, so a pack runs at about the speed of ``cp`` and holds a
few megabytes whatever the model's size. The file grows under a temporary name and takes its own only when complete.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.container import layout
from packer.container.pe_signature import blanked_launcher
from packer.errors import InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from packer.container.reader import Bundle

    Progress = Callable[[int], None]

COPY_BYTES = 16 * 1024 * 1024
HASH_BYTES = 256 * 1024
OPEN_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
NOT_HERE = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY}


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A range of a source file that becomes part of an entry, then ``pad_after_bytes`` zeros."""

    path: Path
    offset_bytes: int
    size_bytes: int
    pad_after_bytes: int = 0


class ContainerWriter:
    """Writes entries one after the other to an open file descriptor; ``finish`` closes the archive."""

    def __init__(self, descriptor: int, launcher: bytes, progress: Progress | None = None) -> None:
        """Write ``launcher`` and its padding. ``progress`` receives counts of bytes as they are written."""
        self._descriptor = descriptor
        self._report = progress or (lambda _count: None)
        self._directory: list[layout.Entry] = []
        self._position = layout.align_up(len(launcher), layout.LAUNCHER_ALIGNMENT_BYTES)
        self.launcher_bytes = len(launcher)
        self.launcher_sha256 = hashlib.sha256(blanked_launcher(launcher)).hexdigest()
        self.sha256: dict[str, str] = {}
        self._write_at(launcher, 0)

    def add_bytes(self, name: str, content: bytes, *, mode: int = 0o644, compress_level: int | None = None) -> None:
        """Add a small entry; zstd-compressed when ``compress_level`` is given and it gets smaller."""
        packed = content if compress_level is None else compress(content, compress_level)
        self._add_packed(name, content, packed, mode)

    def _add_packed(self, name: str, content: bytes, packed: bytes, mode: int) -> None:
        smaller = len(packed) < len(content)
        stored, method = (packed, layout.ZSTANDARD) if smaller else (content, layout.STORED)
        entry = self._place(name, method, crc32(content), len(stored), len(content), mode)
        self._write_at(layout.pack_local_header(entry) + stored, entry.header_offset_bytes)
        self._accept(entry, hashlib.sha256(content).hexdigest())

    def add_files(self, prefix: str, root: Path, files: Sequence[Path], *, level: int, pool: Executor) -> None:
        """Add files under ``root`` as ``prefix`` + relative path, compressed by the threads of ``pool``."""
        for path, content, packed in pool.map(lambda path: _compressed(path, level), files):
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            name = prefix + path.relative_to(root).as_posix()
            self._add_packed(name, content, packed, mode)

    def add_copy(self, bundle: Bundle, name: str, sha256: str, *, new_name: str | None = None) -> None:
        """Copy an entry of another container as it is stored there, without unpacking it."""
        source = bundle.entries[name]
        entry = self._place(
            new_name or name, source.method, source.crc32, source.stored_bytes, source.size_bytes, source.mode
        )
        self._write_at(layout.pack_local_header(entry), entry.header_offset_bytes)
        position = entry.data_offset_bytes
        for piece in bundle.stored_chunks(source):
            self._write_at(piece, position)
            position += len(piece)
        self._accept(entry, sha256)

    def add_segments(self, name: str, header: bytes, segments: Sequence[Segment]) -> None:
        """Add a STORED entry made of ``header`` and then ranges of files, which the kernel copies.

        Raises InputError when a source file changes or ends early, OutputError when the disk is full.
        """
        size = len(header) + sum(segment.size_bytes + segment.pad_after_bytes for segment in segments)
        draft = self._place(name, layout.STORED, 0, size, size, 0o644)
        sha256, checksum = write_segments(self._descriptor, header, segments, draft.data_offset_bytes, self._report)
        entry = layout.Entry(**{**draft.__dict__, "crc32": checksum})
        self._write_at(layout.pack_local_header(entry), entry.header_offset_bytes)
        self._accept(entry, sha256)

    def finish(self, manifest: bytes) -> None:
        """Write the manifest, the central directory and the end records, and flush everything to the disk."""
        self.add_bytes(layout.MANIFEST_NAME, manifest)
        directory = b"".join(layout.pack_central_record(entry) for entry in self._directory)
        trailer = layout.pack_trailer(
            num_entries=len(self._directory), directory_offset=self._position, directory_bytes=len(directory)
        )
        self._write_at(directory + trailer, self._position)
        os.fsync(self._descriptor)

    def _place(self, name: str, method: int, checksum: int, stored: int, size: int, mode: int) -> layout.Entry:
        if problem := layout.name_problem(name):
            raise InputError(f"{name!r} can't be the name of an entry: it {problem}")
        return layout.Entry(
            name=name,
            method=method,
            crc32=checksum,
            stored_bytes=stored,
            size_bytes=size,
            mode=mode,
            header_offset_bytes=layout.header_offset_for(name, size, stored, self._position),
        )

    def _accept(self, entry: layout.Entry, sha256: str) -> None:
        self._directory.append(entry)
        if entry.name != layout.MANIFEST_NAME:
            self.sha256[entry.name] = sha256
        self._position = entry.data_offset_bytes + entry.stored_bytes

    def _write_at(self, content: bytes, offset: int) -> None:
        self._report(write_all(self._descriptor, content, offset))


def write_segments(
    descriptor: int, header: bytes, segments: Sequence[Segment], position: int, report: Progress
) -> tuple[str, int]:
    """Write ``header`` and then ranges of files at ``position``; return SHA-256 and CRC-32 of it all.

    Raises InputError when a source file changes or ends early.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        hashing = pool.submit(digest_segments, header, segments, stop)
        try:
            _copy_segments(descriptor, header, segments, position, report)
            return hashing.result()
        except BaseException:
            stop.set()
            raise


def _copy_segments(
    descriptor: int, header: bytes, segments: Sequence[Segment], position: int, report: Progress
) -> None:
    report(write_all(descriptor, header, position))
    position += len(header)
    for segment in segments:
        with segment.path.open("rb") as source:
            for count in copy_range(source.fileno(), segment.offset_bytes, descriptor, position, segment):
                report(count)
        position += segment.size_bytes + segment.pad_after_bytes
    if os.fstat(descriptor).st_size < position:  # ends in a hole or in padding
        os.ftruncate(descriptor, position)


def write_all(descriptor: int, content: bytes, offset: int) -> int:
    """Write all of ``content`` at ``offset`` and return its length."""
    view = memoryview(content)
    while view:
        written = _write_at(descriptor, view[:COPY_BYTES], offset)
        view, offset = view[written:], offset + written
    return len(content)


def _write_at(descriptor: int, content: memoryview, offset: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, content, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.write(descriptor, content)


def copy_range(source: int, offset: int, target: int, position: int, segment: Segment) -> Iterator[int]:
    """Copy ``segment`` between descriptors through the kernel, yielding the count of bytes of each step.

    Holes of a sparse source stay holes: the target is a fresh file, in which what is not written is a hole.
    """
    left = segment.size_bytes
    by_kernel = hasattr(os, "copy_file_range")
    while left:
        hole = min(left, _hole_at(source, offset))
        if hole:
            left, offset, position = left - hole, offset + hole, position + hole
            yield hole
            continue
        wanted = min(left, COPY_BYTES, _data_at(source, offset))
        count = 0
        if by_kernel:
            try:
                count = os.copy_file_range(source, target, wanted, offset, position)
            except OSError as error:
                if error.errno not in NOT_HERE:
                    raise
            by_kernel = count > 0
        if not by_kernel:
            piece = os.pread(source, min(wanted, HASH_BYTES), offset)
            count = os.pwrite(target, piece, position) if piece else 0
        if not count:
            raise InputError(f"{segment.path}: ended {left} bytes early while it was read; is it still being written?")
        left, offset, position = left - count, offset + count, position + count
        yield count


def _hole_at(source: int, offset: int) -> int:
    """Bytes of the hole at ``offset``, 0 where there is data or the file system has no holes (lseek(2))."""
    try:
        return os.lseek(source, offset, os.SEEK_DATA) - offset
    except OSError as error:
        if error.errno != errno.ENXIO:
            return 0
        return max(0, os.fstat(source).st_size - offset)


def _data_at(source: int, offset: int) -> int:
    """Bytes of data from ``offset`` to the next hole; as many as one can ask for where that is not known."""
    try:
        return os.lseek(source, offset, os.SEEK_HOLE) - offset or COPY_BYTES
    except OSError:
        return COPY_BYTES


def digest_segments(header: bytes, segments: Sequence[Segment], stop: threading.Event) -> tuple[str, int]:
    """Return SHA-256 and CRC-32 of ``header`` and ``segments`` put together; gives up when ``stop`` is set."""
    digest, checksum = hashlib.sha256(header), crc32(header)
    buffer = bytearray(HASH_BYTES)
    for segment in segments:
        with segment.path.open("rb") as source:
            offset, end = segment.offset_bytes, segment.offset_bytes + segment.size_bytes
            while offset < end and not stop.is_set():
                count = os.preadv(source.fileno(), [memoryview(buffer)[: end - offset]], offset)
                if not count:
                    raise InputError(f"{segment.path}: ended early while it was read; is it still being written?")
                piece = memoryview(buffer)[:count]
                digest.update(piece)
                checksum = crc32(piece, checksum)
                offset += count
        padding = bytes(segment.pad_after_bytes)
        digest.update(padding)
        checksum = crc32(padding, checksum)
    return digest.hexdigest(), checksum


def _compressed(path: Path, level: int) -> tuple[Path, bytes, bytes]:
    content = path.read_bytes()
    return path, content, compress(content, level)


def crc32(content: bytes | memoryview, start: int = 0) -> int:
    """CRC-32 of ``content``, continuing from ``start``; several times the speed of zlib's."""
    try:
        from isal import isal_zlib
    except ImportError:  # a packed file that writes a copy of itself is small enough for zlib's
        return zlib.crc32(content, start)
    return int(isal_zlib.crc32(content, start))


def compress(content: bytes, level: int) -> bytes:
    """Compress to a single zstd frame that declares its content size."""
    import zstandard

    return zstandard.ZstdCompressor(level=level, write_content_size=True, write_checksum=False).compress(content)


@contextlib.contextmanager
def complete_or_nothing(path: Path, *, needed_bytes: int, mode: int = 0o755) -> Iterator[int]:
    """Yield a descriptor to write ``path`` to; the file appears under that name only when the block succeeds.

    ``needed_bytes`` is checked against the free space first. Raises OutputError with the reason and the cure.
    """
    if path.is_dir():
        raise OutputError(f"{path}: is a directory; give the name of the file to write, such as {path / 'chat'}")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        available = shutil.disk_usage(path.parent).free
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | OPEN_FLAGS, 0o600)
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror}); choose another place with -o") from error
    try:
        with _closed_at_the_end(descriptor):
            if available < needed_bytes:
                raise OutputError(f"{path}: needs {needed_bytes:,} bytes and the disk has {available:,} free")
            yield descriptor
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, mode & ~_umask())
        os.replace(temporary, path)  # noqa: PTH105 - pathlib's replace is the same call
        _sync_directory(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # Errors of other files carry their names; writing to a descriptor carries none.
        if isinstance(error, OSError) and error.filename in {None, str(temporary), temporary}:
            raise OutputError(f"{path}: can't be written ({error.strerror}); nothing was left behind") from error
        raise


@contextlib.contextmanager
def _closed_at_the_end(descriptor: int) -> Iterator[None]:
    """Close before the rename: Windows renames no open file."""
    try:
        yield
    finally:
        os.close(descriptor)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _sync_directory(directory: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
