"""One running server a packed file: a second double click opens the page of the first.

While a server runs it holds a lock on a file named after the packed file, beside the unpacked runtimes, and the file
says where it listens. The system gives the lock back when a process ends, however it ends. Who finds the lock held
reads the address, and believes it once the server there answers with the same instance id.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG = logging.getLogger(__name__)

CACHE_VARIABLE = "PACKER_CACHE_ENTRY"
ID_HEADER = "Packer-Instance"
LOCK_OFFSET = 1 << 30
ANSWER_TIMEOUT_S = 2.0
START_TIMEOUT_S = 10.0
POLL_S = 0.1
MAX_RECORD_BYTES = 4096


class Instance:
    """The place of a packed file's server; ``is_ours`` once this process holds its lock."""

    def __init__(self, path: Path, stream: BinaryIO, *, is_ours: bool) -> None:
        """Take over the open lock file; use :func:`claim` to make one."""
        self.path = path
        self.is_ours = is_ours
        self.id = secrets.token_hex(16)
        self._stream = stream

    def publish(self, address: str) -> None:
        """Write down where this process listens."""
        if not self.is_ours:
            return
        record = json.dumps({"address": address, "id": self.id, "pid": os.getpid()})
        with contextlib.suppress(OSError):
            self._stream.seek(0)
            self._stream.truncate()
            self._stream.write(record.encode())
            self._stream.flush()

    def running_address(self, timeout_s: float = START_TIMEOUT_S) -> str | None:
        """Return the address of the server that holds the lock, or ``None`` when none answers in time."""
        deadline = time.monotonic() + timeout_s
        while not self.is_ours:
            address, identity = self._record()
            if address and _answers(address, identity):
                return address
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
        return None

    def close(self) -> None:
        """Forget the address and give the lock back."""
        if self.is_ours:
            with contextlib.suppress(OSError):
                self._stream.truncate(0)
        self._stream.close()

    def _record(self) -> tuple[str, str]:
        try:
            self._stream.seek(0)
            record = json.loads(self._stream.read(MAX_RECORD_BYTES))
            address, identity = str(record["address"]), str(record["id"])
        except (OSError, ValueError, KeyError, TypeError):
            return "", ""
        return (address, identity) if address.startswith("http://127.0.0.1:") else ("", "")


def claim(bundle: Path | None, environ: Mapping[str, str]) -> Instance | None:
    """Try to become the server of ``bundle``; ``None`` where there is no place for the lock."""
    entry = environ.get(CACHE_VARIABLE)
    if bundle is None or not entry:
        return None
    name = hashlib.sha256(os.path.normcase(os.path.realpath(bundle)).encode("utf-8", "surrogatepass")).hexdigest()
    path = Path(entry).parent / f"{name[:32]}.running"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | _BINARY, 0o600)
    except OSError as error:
        _LOG.debug("%s can't be opened: %s", path, error)
        return None
    stream = os.fdopen(descriptor, "r+b", buffering=0)
    return Instance(path, stream, is_ours=_lock(descriptor))


_BINARY = getattr(os, "O_BINARY", 0)


def _lock(descriptor: int) -> bool:
    """Lock without waiting; ``False`` when somebody else holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            # Locked bytes can't be read by others on Windows: lock one far behind the text.
            os.lseek(descriptor, LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _answers(address: str, identity: str) -> bool:
    """Ask the server at ``address``, loading or ready, whether it is the instance ``identity``."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address}/health", timeout=ANSWER_TIMEOUT_S) as answer:
            found = answer.headers.get(ID_HEADER)
    except urllib.error.HTTPError as error:
        with error:
            found = error.headers.get(ID_HEADER)
    except (OSError, ValueError):
        return False
    return bool(found == identity)
