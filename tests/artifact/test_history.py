"""Kept chats of a packed file: they outlive any end of the program, and with --no-history nothing is written at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import program
from tests.support.pdf_files import pdf_with_text

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory for chats that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def environment(launch: program.Launcher, data: Path) -> dict[str, str]:
    return launch.environment(PACKER_DATA_DIR=str(data))


def send(server: program.Server, method: str, path: str, body: object = None) -> Any:
    """Send one request that must succeed and return its JSON."""
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(server.address + path, data=content, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def attach(server: program.Server, name: str, content: bytes) -> Any:
    """Send a file as the page does."""
    head = f'--limit\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + b"\r\n--limit--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=limit"}
    request = urllib.request.Request(server.address + "/api/attachments", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def start_reply(server: program.Server) -> tuple[str, str]:
    """Make a chat with a question and a reply that has begun; return the ids of chat and reply."""
    chat_id = send(server, "POST", "/api/chats", {"title": "Mid-reply"})["id"]
    question = send(server, "POST", f"/api/chats/{chat_id}/messages", {"role": "user", "content": "Tell me."})
    reply = {"role": "assistant", "parent_id": question["id"], "state": "streaming"}
    return chat_id, send(server, "POST", f"/api/chats/{chat_id}/messages", reply)["id"]


def files_below(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*"))


def test_chats_survive_a_kill_in_mid_reply(launch: program.Launcher, environment: dict[str, str]) -> None:
    """What was answered for is there, to the last word; the reply counts as stopped."""
    with launch.serving(env=environment) as server:
        chat_id, reply_id = start_reply(server)
        text = ""
        for number in range(20):
            text += f"word{number} "
            send(server, "PATCH", f"/api/chats/{chat_id}/messages/{reply_id}", {"content": text, "state": "streaming"})
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(timeout=20)
    with launch.serving(env=environment) as server:
        messages = send(server, "GET", f"/api/chats/{chat_id}")["messages"]
        assert [message["content"] for message in messages] == ["Tell me.", text]
        assert messages[1]["state"] == "stopped"
        assert send(server, "GET", "/api/chats?query=word19")["chats"][0]["id"] == chat_id


def test_the_next_version_finds_the_chats_and_another_assistant_does_not(
    launch: program.Launcher, environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    with launch.serving(env=environment) as server:
        send(server, "POST", "/api/chats", {"title": "from version 1"})
    for title, system_prompt, expected in (
        ("Tiny", "Now with instructions.", ["from version 1"]),
        ("Another", "", []),
    ):
        path = tmp_path / f"chat {title}"
        done = program.packer("build", tiny_model, "-o", path, "--title", title, "--system-prompt", system_prompt)
        assert done.returncode == 0, done.stderr
        with program.Launcher(path, launch.cache).serving(env=environment) as server:
            assert [chat["title"] for chat in send(server, "GET", "/api/chats")["chats"]] == expected


def test_two_at_once_share_the_chats(launch: program.Launcher, environment: dict[str, str]) -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(launch.serving(env=environment)) for _ in range(2))
        chat_id, reply_id = start_reply(first)
        for number in range(10):
            send(first, "PATCH", f"/api/chats/{chat_id}/messages/{reply_id}", {"content": "x" * number})
            send(second, "POST", f"/api/chats/{chat_id}/messages", {"role": "user", "content": str(number)})
        seen = [send(server, "GET", f"/api/chats/{chat_id}") for server in (first, second)]
    assert seen[0] == seen[1]
    assert len(seen[0]["messages"]) == 12


def test_no_history_writes_nothing(launch: program.Launcher, tmp_path: Path) -> None:
    """A home, a place for temporary files and the current directory all stay empty, for chats and attachments alike."""
    places = {name: tmp_path / name for name in ("home", "tmp", "here")}
    for place in places.values():
        place.mkdir()
    environment = {
        "PACKER_CACHE_DIR": str(launch.cache),
        "HOME": str(places["home"]),
        "XDG_DATA_HOME": str(places["home"] / "data"),
        "TMPDIR": str(places["tmp"]),
    }
    with launch.serving("--no-history", env=environment, cwd=places["here"]) as server:
        assert any(line.startswith("Chats") for line in rest_of_start(server))
        messages = [{"role": "user", "content": "hello " * 20}]
        server.json("/v1/chat/completions", {"messages": messages, "max_tokens": 4})
        assert attach(server, "a.txt", b"words " * 400_000)["truncated"]
        assert attach(server, "a.pdf", pdf_with_text("Hello there"))["text"] == "Hello there"
        status, content = server.request("/api/chats", {"title": "x"})
        assert (status, json.loads(content)["error"]["code"]) == (403, "history_off")
        assert server.json("/api/info")["history"]["enabled"] is False
        open_files = [os.readlink(path) for path in Path(f"/proc/{server.process.pid}/fd").iterdir()]  # noqa: PTH115
        assert server.stop() == 0
    assert {name: files_below(place) for name, place in places.items()} == {name: [] for name in places}
    assert not [name for name in open_files if "(deleted)" in name]


def rest_of_start(server: program.Server) -> list[str]:
    """The lines that the program prints after its address."""
    assert server.process.stdout is not None
    return [server.process.stdout.readline() for _ in range(2)]


def test_the_default_place_is_the_users_data_directory(launch: program.Launcher, tmp_path: Path) -> None:
    environment = {"PACKER_CACHE_DIR": str(launch.cache), "HOME": str(tmp_path)}
    with launch.serving(env=environment) as server:
        path = Path(server.json("/api/info")["history"]["path"])
        line = rest_of_start(server)[0]
    assert path.parent.parent == tmp_path / ".local" / "share" / "packer-chats"
    assert str(path) in line
    assert {path.stat().st_mode & 0o077 for path in path.parent.rglob("*")} == {0}


def test_a_stick_can_carry_the_chats(launch: program.Launcher, data: Path, tmp_path: Path) -> None:
    with launch.serving("--data-dir", data, env=launch.environment(HOME=str(tmp_path / "home"))) as server:
        assert Path(server.json("/api/info")["history"]["path"]).is_relative_to(data)
    assert not (tmp_path / "home").exists()


def test_a_damaged_file_is_set_aside_with_one_line(
    launch: program.Launcher, environment: dict[str, str], data: Path
) -> None:
    with launch.serving(env=environment) as server:
        path = Path(server.json("/api/info")["history"]["path"])
        assert server.stop() == 0
    content = b"not a database " * 400
    path.write_bytes(content)
    with launch.serving(env=environment) as server:
        assert send(server, "GET", "/api/chats") == {"chats": []}
        server.stop()
        errors = server.process.stderr.read() if server.process.stderr else ""
    assert [part.read_bytes() for part in path.parent.glob("*-damaged-*")] == [content]
    assert errors.count("\n") == 1
    assert "damaged" in errors


@pytest.mark.usefixtures("as_root")
def test_a_disk_that_is_full_or_read_only_stops_no_chat(
    launch: program.Launcher, environment: dict[str, str], small_disk: Path
) -> None:
    environment = {**environment, "PACKER_DATA_DIR": str(small_disk)}
    with launch.serving(env=environment) as server:
        chat_id, reply_id = start_reply(server)
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space left"):
            while True:
                stream.write(bytes(4096))
        body = json.dumps({"role": "user", "content": "x" * 600_000}).encode()
        status, content = server.request(f"/api/chats/{chat_id}/messages", json.loads(body))
        assert (status, json.loads(content)["error"]["code"]) == (507, "history_full"), content
        server.json("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2})
        filler.unlink()
        assert len(send(server, "GET", f"/api/chats/{chat_id}")["messages"]) == 2
        send(server, "PATCH", f"/api/chats/{chat_id}/messages/{reply_id}", {"content": "now it fits"})
        assert server.stop() == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with launch.serving(env=environment) as server:
        info = server.json("/api/info")["history"]
        assert info["enabled"] is False
        assert "Read-only file system" in info["why"]
        server.json("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_what_the_packer_fixed_stays_fixed(
    launch: program.Launcher, tiny_model: Path, environment: dict[str, str], data: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "chat.toml"
    settings.write_text('locked = ["history.enabled"]\n[history]\nenabled = false\n', encoding="utf-8")
    path = tmp_path / "chat"
    assert program.packer("build", tiny_model, "-c", settings, "-o", path).returncode == 0
    fixed = program.Launcher(path, launch.cache)
    refused = fixed.run("--history", env=environment)
    assert refused.returncode == 2
    assert "history.enabled" in refused.stderr
    with fixed.serving(env=environment) as server:
        assert "whoever packed this file switched that off" in server.json("/api/info")["history"]["why"]
    assert not data.exists()


def test_prompts_are_not_in_the_log(launch: program.Launcher, environment: dict[str, str]) -> None:
    with launch.serving("--verbose", env=environment) as server:
        chat_id, reply_id = start_reply(server)
        send(server, "PATCH", f"/api/chats/{chat_id}/messages/{reply_id}", {"content": "a-secret-word"})
        send(server, "GET", "/api/chats?query=a-secret-query")
        attach(server, "a-secret-name.pdf", pdf_with_text("a-secret-text"))
        time.sleep(0.1)
        assert server.stop() == 0
        printed = "".join(stream.read() for stream in (server.process.stdout, server.process.stderr) if stream)
    assert "loaded" in printed
    assert "secret" not in printed
