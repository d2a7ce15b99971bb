"""The page as the server sends it: headers, content types, caching, and nothing inline or foreign in any file."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from flask import Flask

from tests.web.fake_api import libraries
from web_ui.page import CONTENT_SECURITY_POLICY, PAGE_NAME, STATIC_FOLDER, create_blueprint, find_assets

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient

FILES = sorted(path for path in STATIC_FOLDER.rglob("*") if path.is_file())
HARMLESS_ADDRESSES = ("http://www.w3.org/2000/svg", "http://127.0.0.1:8080")
HTML_SINKS = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "createContextualFragment")
CODE_SINKS = (
    r"\beval\(",
    r"new Function",
    r"setTimeout\(\s*[\"'`]",
    r"\bimport\((?!\"\.\./libraries/)",
    r"setAttribute\(\s*[\"']style",
)
CLASSIC_SCRIPTS = ("look.js",)
"""Run before anything is drawn, and so no modules."""


@pytest.fixture
def client() -> FlaskClient:
    app = Flask("page_only", static_folder=None)
    app.register_blueprint(create_blueprint(libraries()))
    return app.test_client()


def names(suffix: str = "") -> list[str]:
    return [path.relative_to(STATIC_FOLDER).as_posix() for path in FILES if path.name.endswith(suffix)]


class Tags(HTMLParser):
    """Collects start tags with their attributes, and the text inside scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.script_text = ""
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        self.script_text += data.strip() if self._in_script else ""


def test_page_is_html_that_is_never_stored(client: FlaskClient) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.content_type == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert "ETag" not in response.headers


@pytest.mark.parametrize("path", ["/", *(f"/static/{name}" for name in find_assets(STATIC_FOLDER))])
def test_every_file_has_the_protecting_headers(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Set-Cookie" not in response.headers


def test_policy_lets_nothing_foreign_or_inline_in() -> None:
    policy = dict(part.split(" ", 1) for part in CONTENT_SECURITY_POLICY.split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "font-src": "'self'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("app.js", "text/javascript; charset=utf-8"),
        ("css/frame.css", "text/css; charset=utf-8"),
        ("locales/en.json", "application/json"),
        ("favicon.svg", "image/svg+xml"),
    ],
)
def test_content_types_do_not_depend_on_the_system(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, name: str, content_type: str
) -> None:
    monkeypatch.setattr("mimetypes.guess_type", lambda *_: ("text/plain", None))
    assert client.get(f"/static/{name}").content_type.startswith(content_type)


def test_static_files_are_revalidated_by_content(client: FlaskClient) -> None:
    first = client.get("/static/app.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get("/static/app.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert client.get("/static/app.js", headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get("/static/chat/chat.js").headers["ETag"] != first.headers["ETag"]


@pytest.mark.parametrize(
    "name", ["", "none.js", "page.html", "../page.py", "..%2fpage.py", "%2e%2e/page.py", "%2fetc%2fpasswd", "app.js/"]
)
def test_nothing_else_can_be_reached(client: FlaskClient, name: str) -> None:
    assert client.get(f"/static/{name}", follow_redirects=True).status_code == 404


def test_only_reading_is_possible(client: FlaskClient) -> None:
    assert client.head("/").status_code == 200
    assert client.post("/").status_code == 405
    assert client.put("/static/app.js").status_code == 405


def test_every_file_is_served_or_is_the_page() -> None:
    assert sorted(find_assets(STATIC_FOLDER)) == sorted(name for name in names() if name != PAGE_NAME)


def test_page_has_no_inline_script_or_style_and_only_names_files_that_exist(client: FlaskClient) -> None:
    page = Tags()
    page.feed(client.get("/").get_data(as_text=True))
    attributes = [(tag, name, value) for tag, attrs in page.tags for name, value in attrs.items()]
    assert page.script_text == ""
    assert "style" not in {tag for tag, _ in page.tags}
    assert not [item for item in attributes if item[1] == "style" or item[1].startswith("on")]
    addresses = [value or "" for _, name, value in attributes if name in {"src", "href", "action", "data", "srcset"}]
    local = [address for address in addresses if not address.startswith("#")]
    assert "/static/app.js" in local
    assert {address: client.get(address).status_code for address in local} == dict.fromkeys(local, 200)


def test_page_has_unique_ids_and_every_reference_resolves(client: FlaskClient) -> None:
    page = Tags()
    page.feed(client.get("/").get_data(as_text=True))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    references = {
        reference
        for _, attrs in page.tags
        for name in ("for", "aria-labelledby", "aria-describedby")
        for reference in (attrs.get(name) or "").split()
    }
    assert references <= set(ids)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_names_a_foreign_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for harmless in HARMLESS_ADDRESSES:
        text = text.replace(harmless, "")
    assert re.findall(r"\b(?:https?|wss?|ftp)://\w|[\"'(]//\w|@import|\burl\(", text) == []


@pytest.mark.parametrize("name", names(".js"))
def test_scripts_build_nodes_and_never_parse_html_or_code(name: str) -> None:
    lines = (STATIC_FOLDER / name).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith(("*", "/*", "//")))
    assert [sink for sink in HTML_SINKS if sink in text] == []
    assert [sink for sink in CODE_SINKS if re.search(sink, text)] == []


@pytest.mark.parametrize("name", names(".js"))
def test_scripts_are_type_checked_modules_of_readable_length(name: str) -> None:
    lines = (STATIC_FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "// @ts-check"
    assert (" * @module" in lines) is (name not in CLASSIC_SCRIPTS)
    assert len(lines) < 400
    assert [
        line for line in lines if len(line) > 130 and " d=" not in line and not re.match(r"  \w+: \"[Mm]", line)
    ] == []
