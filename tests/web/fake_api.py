"""A stand-in for the packed program: the page, and an API whose answers the tests choose."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify, request
from werkzeug.serving import WSGIRequestHandler, make_server

from packer.toolchain.build_cache import default_build_cache
from packer.toolchain.web_libraries import web_libraries
from tests.web import fake_chats
from tests.web.fake_chats import FakeChats
from web_ui import create_blueprint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from flask.typing import ResponseReturnValue

logging.getLogger("werkzeug").setLevel(logging.ERROR)

DEFAULT_REPLY = "Of course. Paris is the capital of France."


def default_info() -> dict[str, Any]:
    """Facts as ``GET /api/info`` gives them, without greeting, starters or locks."""
    return {
        "title": "Harbour Help",
        "model": {
            "entry": "model/harbour-7b.gguf",
            "name": "Harbour 7B Instruct",
            "architecture": "qwen2",
            "quantization": "Q4_K_M",
            "num_parameters": 7_615_616_512,
            "context_length": 32768,
            "size_bytes": 4_683_073_248,
        },
        "device": {"name": "CPU", "why": "no usable GPU was found"},
        "cpu_variant": "haswell",
        "threads": {"count": 4, "why": "4 physical cores usable"},
        "context": {"size_tokens": 4096, "why": "set in the file"},
        "address": "http://127.0.0.1:8080",
        "version": "0.1.0",
        "chat": {"system_prompt": "You help visitors.", "greeting": "", "starters": []},
        "sampling": {"temperature": 0.7, "top_k": 40, "top_p": 0.95, "max_tokens": None},
        "locked": [],
        "memory": {"own_bytes": 412 << 20, "mapped_bytes": 4466 << 20, "available_bytes": 9 << 30},
        "history": {"enabled": True, "why": "", "path": "/home/someone/.local/share/packer/chats.db"},
        "attachments": {
            "images": False,
            "why": "the packed model reads no images",
            "max_bytes": 1 << 20,
            "types": [".txt", ".md", ".py", ".pdf"],
        },
    }


@dataclass(kw_only=True)
class FakeProgram:
    """What the stand-in does; tests change the fields while it runs."""

    health: dict[str, Any] = field(default_factory=lambda: {"status": "ok"})
    info: dict[str, Any] = field(default_factory=default_info)
    reply: list[str] = field(default_factory=lambda: [DEFAULT_REPLY])
    """The pieces of every answer."""
    pause_s: float = 0.0
    """Time before each piece but the first."""
    failures: list[tuple[int, str, str | None]] = field(default_factory=list)
    """Status, message and code of the errors given before anything is answered."""
    break_off: bool = False
    """Whether a stream ends without its end mark."""
    gate: threading.Event = field(default_factory=threading.Event)
    """While unset, no stream goes beyond its first piece and no file is read."""
    chats: list[dict[str, Any]] = field(default_factory=list)
    """The chat requests so far."""
    dropped: threading.Event = field(default_factory=threading.Event)
    """Set when a client went away in the middle of a stream."""
    quits: int = 0
    kept: FakeChats = field(default_factory=FakeChats)
    """The chats on disk, as it were."""
    deltas: list[dict[str, Any]] = field(default_factory=list)
    """Pieces that come before those of ``reply``, as they are: reasoning, calls of tools."""
    finish_reason: str = "stop"
    uploads: list[str] = field(default_factory=list)
    """Names of the attached files so far."""

    def __post_init__(self) -> None:
        self.gate.set()


def create_app(program: FakeProgram) -> Flask:
    """Build the application around ``program``."""
    app = Flask("fake_api", static_folder=None)
    app.register_blueprint(create_blueprint(libraries()))
    app.register_blueprint(fake_chats.create_blueprint(program.kept))
    _add_answer_routes(app, program)

    @app.get("/health")
    def health() -> ResponseReturnValue:
        statuses = {"ok": 200, "loading": 503}
        return jsonify(program.health), statuses.get(program.health["status"], 500)

    @app.get("/api/info")
    def info() -> ResponseReturnValue:
        return jsonify(program.info)

    @app.post("/api/quit")
    def quit_program() -> ResponseReturnValue:
        program.quits += 1
        return jsonify(status="stopping")

    return app


def libraries() -> Path:
    """Return the page's libraries, fetched by the same code that packs them."""
    return web_libraries(default_build_cache()) / "libraries"


def _add_answer_routes(app: Flask, program: FakeProgram) -> None:
    @app.post("/v1/chat/completions")
    def chat() -> ResponseReturnValue:
        program.chats.append(request.get_json())
        if program.failures:
            status, message, code = program.failures.pop(0)
            return jsonify(error={"message": message, "type": "server_error", "param": None, "code": code}), status
        if not program.chats[-1].get("stream"):
            message = {"role": "assistant", "content": "".join(program.reply)}
            choice = {"index": 0, "message": message, "finish_reason": program.finish_reason}
            return jsonify(object="chat.completion", choices=[choice])
        return Response(_Stream(program), mimetype="text/event-stream")

    @app.post("/api/attachments")
    def attach() -> ResponseReturnValue:
        file = request.files["file"]
        data = file.read()
        program.gate.wait(10)
        program.uploads.append(file.filename or "")
        if (file.filename or "").endswith(".pdf") and not data.startswith(b"%PDF"):
            message = "broken.pdf: expected a PDF, found something else"
            return jsonify(
                error={"message": message, "type": "invalid_request_error", "param": None, "code": None}
            ), 415
        about = {"name": file.filename, "media_type": file.mimetype, "size_bytes": len(data), "truncated": False}
        if file.mimetype.startswith("image/"):
            encoded = base64.b64encode(data).decode()
            return jsonify({**about, "text": None, "image_url": f"data:{file.mimetype};base64,{encoded}"})
        return jsonify({**about, "text": data.decode()})


class _Stream:
    """One streamed answer; notices when it is closed before its end."""

    def __init__(self, program: FakeProgram) -> None:
        self._program = program
        self._ended = False
        self._pieces = self._generate()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        if not self._ended:
            self._program.dropped.set()

    def _generate(self) -> Iterator[bytes]:
        program = self._program
        yield _chunk({"role": "assistant", "content": ""}, None)
        for delta in program.deltas:
            yield _chunk(delta, None)
            time.sleep(program.pause_s)
        for index, piece in enumerate(program.reply):
            if index:
                time.sleep(program.pause_s)
                while not program.gate.wait(0.05):
                    yield b": waiting\n\n"
            yield _chunk({"content": piece}, None)
        self._ended = True
        if program.break_off:
            return
        yield _chunk({}, program.finish_reason)
        usage = {"prompt_tokens": 12, "completion_tokens": 40, "total_tokens": 52}
        yield _event({"object": "chat.completion.chunk", "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"


def _chunk(delta: dict[str, Any], reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return _event({"object": "chat.completion.chunk", "choices": [choice]})


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


class _Handler(WSGIRequestHandler):
    """Keeps connections open, as the real server does."""

    protocol_version = "HTTP/1.1"


class FakeServer:
    """Serves a :class:`FakeProgram` on a loopback port from a background thread."""

    def __init__(self, program: FakeProgram, port: int = 0) -> None:
        self.program = program
        self._server = make_server("127.0.0.1", port, create_app(program), threaded=True, request_handler=_Handler)
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.program.gate.set()
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()
