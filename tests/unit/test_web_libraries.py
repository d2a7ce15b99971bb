"""The page's libraries are fetched by pinned digest, with npm or without, and only what is used is taken."""

from __future__ import annotations

import io
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from packer.errors import BuildError
from packer.toolchain.web_libraries import (
    DEFAULT_REGISTRY,
    PAGE,
    WebPackage,
    fetch,
    integrity_of,
    read_lock,
    unpack,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEMBERS = {"package/dist/lib.mjs": b"export default 1;\n", "package/LICENSE": b"MIT\n", "package/../../evil": b"no"}


def archive_of(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "lib-1.2.3.tgz"
    path.write_bytes(archive_of(MEMBERS))
    return path


@pytest.fixture
def package(archive: Path) -> WebPackage:
    return WebPackage(
        name="@scope/lib",
        version="1.2.3",
        integrity=integrity_of(archive),
        licence="MIT",
        use=PAGE,
        licence_files=("LICENSE",),
        files={"lib/lib.mjs": "dist/lib.mjs"},
    )


@pytest.fixture
def registry(archive: Path) -> Iterator[tuple[str, list[str]]]:
    """A registry on this machine that has the one archive, and the paths it was asked for."""
    asked: list[str] = []
    data = archive.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            found = self.path == "/npm/@scope/lib/-/lib-1.2.3.tgz"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(data if found else b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/npm/", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_without_npm_the_registry_is_asked_for_the_archive(
    package: WebPackage, registry: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, asked = registry
    path = fetch(package, tmp_path, {"PATH": "", "NPM_CONFIG_REGISTRY": address})
    assert asked == ["/npm/@scope/lib/-/lib-1.2.3.tgz"]
    assert integrity_of(path) == package.integrity


def test_npm_is_used_where_there_is_one(package: WebPackage, archive: Path, tmp_path: Path) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/asked\n'
        f'while [ "$1" != --pack-destination ]; do shift; done\ncp {archive} "$2"/scope-lib-1.2.3.tgz\n'
    )
    npm.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    path = fetch(package, work, {"PATH": str(npm.parent)})
    assert path.read_bytes() == archive.read_bytes()
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0] == "pack"
    assert asked[-1] == "@scope/lib@1.2.3"
    assert "--ignore-scripts" in asked


def test_another_archive_is_refused(package: WebPackage, registry: tuple[str, list[str]], tmp_path: Path) -> None:
    changed = replace(package, integrity="sha512-other")
    with pytest.raises(BuildError, match=r"@scope/lib 1.2.3: expected the digest sha512-other, found sha512-"):
        fetch(changed, tmp_path, {"PATH": "", "NPM_CONFIG_REGISTRY": registry[0]})


def test_an_archive_that_is_not_there_says_what_to_do(
    package: WebPackage, registry: tuple[str, list[str]], tmp_path: Path
) -> None:
    missing = replace(package, version="9.9.9")
    with pytest.raises(BuildError, match=r"lib-9.9.9.tgz can't be downloaded .*404.*; set NPM_CONFIG_REGISTRY"):
        fetch(missing, tmp_path, {"PATH": "", "NPM_CONFIG_REGISTRY": registry[0]})


def test_only_what_the_lock_names_is_taken(package: WebPackage, archive: Path, tmp_path: Path) -> None:
    work = tmp_path / "out" / "work"
    unpack(package, archive, work)
    found = {path.relative_to(work).as_posix(): path.read_bytes() for path in work.rglob("*") if path.is_file()}
    assert found == {"libraries/lib/lib.mjs": MEMBERS["package/dist/lib.mjs"], "licenses/scope-lib.txt": b"MIT\n"}
    assert not (tmp_path / "evil").exists()


def test_a_file_that_the_package_lacks_is_named(package: WebPackage, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"@scope/lib 1.2.3: expected the file dist/gone.mjs"):
        unpack(replace(package, files={"gone.mjs": "dist/gone.mjs"}), archive, tmp_path)


def test_the_lock_pins_everything() -> None:
    packages = read_lock()
    assert {package.name for package in packages} >= {"markdown-it", "katex", "@highlightjs/cdn-assets", "axe-core"}
    for package in packages:
        assert package.integrity.startswith("sha512-")
        assert package.licence_files
        assert package.use in {"page", "tests"}
        assert all(".." not in place and not place.startswith("/") for place in package.files)
    assert DEFAULT_REGISTRY == "https://registry.npmjs.org/"
    assert len({package.name for package in packages}) == len(packages)
