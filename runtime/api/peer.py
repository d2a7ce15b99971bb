"""Keeps other users of this machine out of kept chats: the loopback interface is open to every one of them.

On Linux the system tells which user owns the other end of a connection (proc(5), ``/proc/net/tcp``). Where it can't be
told, on other systems and for sockets that are gone, the request is let through.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from flask import request

from runtime.api.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable

TABLE = Path("/proc/net/tcp")
LOCAL, REMOTE, UID = 1, 2, 7
ROOT_UID = 0
TRIES = 2


def check_peer() -> None:
    """Refuse a request of another user than this program's. Raises ApiError 403."""
    client, server = request.environ.get("REMOTE_PORT"), request.environ.get("SERVER_PORT")
    if not hasattr(os, "getuid") or client is None or server is None:
        return
    uid = find_owner(request.remote_addr or "", int(client), int(server))
    if uid not in {None, ROOT_UID, os.getuid()}:
        raise ApiError(403, "the chats kept here belong to another user of this machine", code="other_user")


def find_owner(address: str, client_port: int, server_port: int) -> int | None:
    """Return the number of the user who owns the socket at ``address`` and ``client_port``, if it is listed.

    A list that changes while it is read can miss a socket, so it is read again then.
    """
    for _ in range(TRIES):
        try:
            with TABLE.open(encoding="ascii") as lines:
                uid = owner_in(lines, address, client_port, server_port)
        except OSError:
            return None
        if uid is not None:
            return uid
    return None


def owner_in(lines: Iterable[str], address: str, client_port: int, server_port: int) -> int | None:
    """Look for the client's end of a connection in the lines of the table."""
    try:
        host = int.from_bytes(socket.inet_aton(address), "little")
    except OSError:
        return None
    client, server = f"{host:08X}:{client_port:04X}", f"{host:08X}:{server_port:04X}"
    for line in lines:
        fields = line.split()
        if len(fields) > UID and fields[LOCAL] == client and fields[REMOTE] == server:
            return int(fields[UID])
    return None
