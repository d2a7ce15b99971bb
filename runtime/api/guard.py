"""Keeps other web pages out: only this machine's browser, on this program's own page, may talk to it.

A page from elsewhere can send requests to 127.0.0.1; its ``Origin`` header gives it away. It can also make a name of
its own resolve to 127.0.0.1 (DNS rebinding) and then is its own origin; its ``Host`` header gives it away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import request

from runtime.api.errors import ApiError

if TYPE_CHECKING:
    from flask import Flask, Response

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def host_allowed(host: str) -> bool:
    """Tell whether a ``Host`` header names this machine itself, with any port or none."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname in LOOPBACK_NAMES and parts.netloc == host and "@" not in host and _port_ok(parts.port)
    except ValueError:
        return False


def origin_allowed(origin: str, host: str) -> bool:
    """Tell whether an ``Origin`` header is that of the page served under ``host``."""
    return origin.lower() == f"http://{host.lower()}"


def _port_ok(port: int | None) -> bool:
    return port is None or port > 0


def install(app: Flask) -> None:
    """Check every request before its view, and add headers that keep answers from being read or framed elsewhere."""
    app.before_request(_check)
    app.after_request(_protect)


def _check() -> None:
    host = request.headers.get("Host", "")
    if not host_allowed(host):
        raise ApiError(403, f"this program answers on this machine only; the Host header {host!r} is not 127.0.0.1")
    origin = request.headers.get("Origin")
    if origin is not None and not origin_allowed(origin, host):
        raise ApiError(403, f"requests from other web pages are refused; the Origin header is {origin!r}")


def _protect(response: Response) -> Response:
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("X-Frame-Options", "DENY")
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    return response
