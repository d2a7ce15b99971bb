"""Who may talk to the program: this machine under its own names, and its own page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.api.guard import host_allowed, origin_allowed

if TYPE_CHECKING:
    from flask.testing import FlaskClient


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8080", "localhost", "localhost:1", "LOCALHOST:80", "[::1]", "[::1]:8080"]
)
def test_own_names(host: str) -> None:
    assert host_allowed(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.2",
        "0.0.0.0",
        "127.0.0.1@evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1:99999",
        "127.0.0.1:x",
        "127.0.0.1/..",
        "127.0.0.1#",
        "[::1",
        "[::ffff:127.0.0.1]",
        "localhost,evil.example",
    ],
)
def test_other_names(host: str) -> None:
    assert not host_allowed(host)


def test_origin_must_be_the_page_itself() -> None:
    assert origin_allowed("http://127.0.0.1:8080", "127.0.0.1:8080")
    for origin in ("null", "", "http://127.0.0.1:9999", "https://127.0.0.1:8080", "http://localhost:8080", "file://"):
        assert not origin_allowed(origin, "127.0.0.1:8080")


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/api/info", "/nothing"])
def test_foreign_hosts_are_refused_everywhere(client: FlaskClient, path: str) -> None:
    answer = client.get(path, headers={"Host": "evil.example"})
    assert answer.status_code == 403
    assert "evil.example" in answer.get_json()["error"]["message"]


def test_foreign_origins_are_refused(client: FlaskClient) -> None:
    answer = client.post("/api/quit", headers={"Host": "127.0.0.1:8080", "Origin": "https://evil.example"})
    assert answer.status_code == 403
    allowed = client.post("/api/quit", headers={"Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:8080"})
    assert allowed.status_code == 200


def test_answers_cannot_be_framed_or_read_elsewhere(client: FlaskClient) -> None:
    headers = client.get("/health").headers
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not any(name.lower().startswith("access-control") for name in headers.keys())  # noqa: SIM118
