"""Serves the page at ``/`` and its files under ``/static/``, with headers that let nothing foreign in.

Content types come from a table of our own: the system's one (on Windows the registry) may call JavaScript plain text,
and a browser told ``nosniff`` then refuses to run it. The policy lets no text become a script or HTML, whatever the
page's scripts do with it (Trusted Types), and has no exception for inline styles: KaTeX's are set as properties. ETags
are made from the contents, because different packed files take turns at the same address.

Sources: W3C Content Security Policy Level 3; W3C Trusted Types; RFC 9110 section 8.8.3 (ETag).
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, abort, request

STATIC_FOLDER = Path(__file__).parent / "static"
PAGE_NAME = "page.html"

LIBRARIES_FOLDER = "libraries"
"""Below ``/static/``: Markdown parser, highlighter and KaTeX, which the build puts there."""

MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
"""Suffix to content type of everything served under ``/static/``."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def create_blueprint(libraries: Path | None = None) -> Blueprint:
    """Make the blueprint. The application must have no static folder of its own at ``/static``.

    ``libraries`` is where the page's libraries lie when they are not in the static folder, as in a checkout.
    """
    blueprint = Blueprint("web_ui", __name__)
    assets = find_assets(STATIC_FOLDER)
    if libraries is not None:
        assets |= {f"{LIBRARIES_FOLDER}/{name}": path for name, path in find_assets(libraries).items()}

    @blueprint.get("/")
    def page() -> Response:
        response = _respond(STATIC_FOLDER / PAGE_NAME, "text/html")
        response.headers["Cache-Control"] = "no-store"
        return response

    @blueprint.get("/static/<path:name>")
    def asset(name: str) -> Response:
        path = assets.get(name)
        if path is None:
            abort(404)
        response = _respond(path, MEDIA_TYPES[path.suffix])
        response.headers["Cache-Control"] = "no-cache"
        response.add_etag()
        response.make_conditional(request)
        return response

    return blueprint


def find_assets(folder: Path) -> dict[str, Path]:
    """Map each name that may be asked for to its file; what is not listed here can't be reached by any name."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix in MEDIA_TYPES and path.is_file()
    }


def _respond(path: Path, media_type: str) -> Response:
    response = Response(path.read_bytes(), mimetype=media_type)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
