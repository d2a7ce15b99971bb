"""Attached files become text: any encoding, PDFs by another process within limits, and a clear word for the rest."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfWriter

from packer.errors import InputError, MachineError
from runtime.attachments import pdf_text
from runtime.attachments.pdf import PdfReader, PdfText, extract_command, extract_environment
from runtime.attachments.reader import FileReader, shown_name
from runtime.attachments.text_files import decode
from tests.support.pdf_files import pdf_with_streams, pdf_with_text

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

GERMAN = "Größe: fünf Äpfel, süße Birnen und ein großer Kürbis für den Überfluß.\n" * 4
RUSSIAN = "Съешь ещё этих мягких французских булок, да выпей же чаю. Хорошая погода сегодня.\n" * 4
CHINESE = "今天天气很好。我们一起去公园散步。然后回家吃晚饭。人工智能正在改变世界。\n" * 4
JAPANESE = "今日はとても良い天気ですね。公園まで散歩に行きましょう。コンピュータは便利です。\n" * 4
CODE = "def f(x):\n\treturn x << 2  # comment\n\n\x0c\n"


@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, CHINESE, JAPANESE, CODE, "", "x", "\U0001f600 ok\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_as_it_is(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (CHINESE, "gb18030"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (GERMAN, "utf-16-le"),
        (CODE, "utf-16-be"),
    ],
)
def test_other_encodings_are_recognised(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_long_file_is_not_cut_within_a_character() -> None:
    text = JAPANESE * 300
    assert decode(text.encode("shift_jis")) == text


def test_line_ends_are_made_the_same() -> None:
    assert decode(b"a\r\nb\rc\n") == "a\nb\nc\n"


@pytest.mark.parametrize(
    "content",
    [
        bytes(range(256)) * 8,
        b"\x7fELF\x02\x01\x01" + bytes(100),
        zlib.compress(b"some words and more " * 2000 + bytes(range(256))),
        b"text" * 100 + bytes(50),
        b"\xff\xfe\x00",
        b"PK\x03\x04" + bytes(range(1, 30)) * 20,
    ],
)
def test_what_is_no_text_is_told_apart(content: bytes) -> None:
    assert decode(content) is None


@settings(deadline=None)
@given(content=st.binary(max_size=400))
def test_any_bytes_are_text_or_not(content: bytes) -> None:
    text = decode(content)
    assert text is None or "\0" not in text


class FakePdf:
    """Stands in for the other process."""

    def __init__(self, answer: PdfText | Exception) -> None:
        self.answer = answer

    def read(self, content: bytes) -> PdfText:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def reader(answer: PdfText | Exception | None = None, **more: Any) -> FileReader:
    return FileReader(FakePdf(answer or InputError("unexpected")), **more)  # type: ignore[arg-type]


def test_a_text_file() -> None:
    found = reader().read("C:\\notes\\todo.md", "# Über\n".encode())
    assert found == {
        "name": "todo.md", "media_type": "text/markdown", "size_bytes": 8, "text": "# Über\n", "truncated": False
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.py", "text/x-python"), ("a.ts", "text/plain"), ("a.json", "application/json"), ("Makefile", "text/plain")],
)
def test_types_follow_the_name(name: str, media_type: str) -> None:
    assert reader().read(name, b"x")["media_type"] == media_type


def test_a_long_text_is_cut_and_says_so() -> None:
    found = reader().read("a.txt", b"x" * 1_000_001)
    assert (len(found["text"]), found["truncated"]) == (1_000_000, True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "a.docx",
            b"PK\x03\x04" + bytes(50),
            "a.docx: this is an archive or Office document; text, source code and PDF",
        ),
        ("a.exe", b"MZ" + bytes(50), "a.exe: this is a program"),
        ("a.bin", bytes(50), "a.bin: this is not text"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(9), "a.png: this is a picture, and the model in this file can't see"),
        ("a.webp", b"RIFF\x00\x00\x00\x00WEBPVP8 ", "a.webp: this is a picture"),
        ("a.txt", b"x" * ((20 << 20) + 1), "a.txt: has 20.0 MiB; at most 20 MiB"),
    ],
)
def test_what_can_not_be_attached_is_refused(name: str, content: bytes, words: str) -> None:
    with pytest.raises(InputError) as caught:
        reader().read(name, content)
    assert words in str(caught.value)


def test_pictures_go_to_a_model_that_sees_them() -> None:
    seeing = reader(why_no_images="")
    found = seeing.read("a.jpg", b"\xff\xd8\xff\xe0")
    assert (found["media_type"], found["image_url"]) == ("image/jpeg", "data:image/jpeg;base64,/9j/4A==")
    assert seeing.status()["images"]
    assert "image/png" in seeing.status()["types"]
    assert not reader().status()["images"]


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("a\nb\u202ecod.exe", "abcod.exe"),
        ("", "file"),
        ("x" * 999, "x" * 200),
        ("Über 京都.txt", "Über 京都.txt"),
    ],
)
def test_names_are_made_harmless(given_name: str, shown: str) -> None:
    assert shown_name(given_name) == shown


def test_a_pdf_is_recognised_behind_some_bytes() -> None:
    found = reader(PdfText(text="x", num_pages=3, is_truncated=True)).read("a", b"\n\n%PDF-1.7")
    assert (found["media_type"], found["num_pages"], found["truncated"]) == ("application/pdf", 3, True)


def test_the_file_is_named_when_a_pdf_can_not_be_read() -> None:
    with pytest.raises(InputError, match=r"a\.pdf: is odd"):
        reader(InputError("is odd")).read("a.pdf", b"%PDF-1.7")


def test_text_of_pages() -> None:
    found = pdf_text.describe(pdf_with_text("Page one says hello", "Page two says bye"))
    assert found == {"text": "Page one says hello\n\nPage two says bye", "num_pages": 2, "is_truncated": False}


def test_pages_beyond_the_limit_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_text, "MAX_TEXT_CHARACTERS", 25)
    found = pdf_text.describe(pdf_with_text("first page", "second page", "third page"))
    assert found == {"text": "first page\n\nsecond page\n\nt"[:25], "num_pages": 3, "is_truncated": True}


def encrypted() -> bytes:
    writer = PdfWriter(io.BytesIO(pdf_with_text("secret")))
    writer.encrypt("password", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7\nnonsense", "can't be read"),
        (pdf_with_text("x")[:200], "can't be read"),
        (pdf_with_text(""), "holds no text"),
        (encrypted(), "password"),
        (pdf_with_text("x").replace(b"/Count 1", b"/Count 9").replace(b"/Kids [3 0 R]", b"/Kids [2 0 R]"), None),
        (pdf_with_streams(b"q " * 200_000), "holds no text"),
        (pdf_with_streams(b"[" * 100_000), None),
    ],
)
def test_a_bad_pdf_is_told_apart(content: bytes, words: str | None) -> None:
    found = pdf_text.describe(content)
    assert set(found) == {"error"}
    assert words is None or words in found["error"]


def test_the_other_process_reads_a_pdf() -> None:
    real = PdfReader(extract_command({}), extract_environment({}))
    assert real.read(pdf_with_text("Hello there")) == PdfText(text="Hello there", num_pages=1, is_truncated=False)
    with pytest.raises(InputError, match="can't be read"):
        real.read(b"%PDF-1.7 broken")


BOMB = """
import sys
sys.path.insert(0, {root!r})
from runtime.attachments import pdf_text
pdf_text.{limit} = {value}
pdf_text.describe = lambda content: {work}
sys.exit(pdf_text.main())
"""


@pytest.mark.parametrize(
    ("limit", "value", "work"),
    [
        ("MEMORY_LIMIT_BYTES", 300 << 20, "[bytes(1 << 20) for _ in range(4000)]"),
        ("CPU_LIMIT_S", 1, "[x for x in iter(int, 1)]"),
        ("CPU_LIMIT_S", 5, "__import__('pathlib').Path('written').write_bytes(b'x')"),
    ],
)
def test_limits_stop_the_other_process(
    limit: str, value: int, work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    code = BOMB.format(root=str(request.config.rootpath), limit=limit, value=value, work=work)
    bomb = PdfReader([sys.executable, "-c", code], {}, timeout_s=60)
    with pytest.raises(InputError, match="more time or memory"):
        bomb.read(b"x")
    assert not any(path.stat().st_size for path in tmp_path.iterdir())


def test_a_process_that_hangs_is_ended() -> None:
    slow = PdfReader([sys.executable, "-c", "import time; time.sleep(60)"], {}, timeout_s=0.2)
    with pytest.raises(InputError, match="takes longer than"):
        slow.read(b"x")


def test_a_program_that_is_gone_is_a_clear_error() -> None:
    with pytest.raises(MachineError, match=r"/nowhere/chat: can't be started"):
        PdfReader(["/nowhere/chat"], {}).read(b"x")


def test_the_other_process_is_this_program() -> None:
    assert extract_command({"PACKER_BUNDLE": "/my/chat"}) == ["/my/chat", "--extract-pdf"]
    environ = {"PACKER_BUNDLE": "/my/chat", "PACKER_CACHE_DIR": "/c", "PACKER_CACHE_ENTRY": "/c/x", "HOME": "/h"}
    assert extract_environment(environ) == {"PACKER_CACHE_DIR": "/c", "HOME": "/h"}


def attach(client: FlaskClient, name: str, content: bytes) -> TestResponse:
    """Send a form as a browser does; werkzeug's client would put a large one into a temporary file."""
    head = f'--limit\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + b"\r\n--limit--\r\n"
    return client.post("/api/attachments", data=body, content_type="multipart/form-data; boundary=limit")


def test_over_http(client: FlaskClient) -> None:
    answer = attach(client, "Äpfel.txt", "fünf\n".encode())
    assert answer.get_json() == {
        "name": "Äpfel.txt", "media_type": "text/plain", "size_bytes": 6, "text": "fünf\n", "truncated": False
    }  # fmt: skip
    found = attach(client, "a.pdf", pdf_with_text("Hello there")).get_json()
    assert (found["text"], found["num_pages"], found["media_type"]) == ("Hello there", 1, "application/pdf")
    assert client.get("/api/info").get_json()["attachments"]["max_bytes"] == 20 << 20


@pytest.mark.parametrize(
    ("name", "content", "status", "code"),
    [
        ("a.bin", bytes(50), 415, "unsupported_file"),
        ("a.png", b"\x89PNG\r\n\x1a\n", 415, "unsupported_file"),
        ("a.txt", b"x" * ((20 << 20) + 1), 413, "file_too_large"),
        ("a.txt", b"x" * (21 << 20), 413, "file_too_large"),
        ("a.pdf", b"%PDF-1.7 broken", 400, "unreadable_file"),
    ],
)
def test_errors_over_http(client: FlaskClient, name: str, content: bytes, status: int, code: str) -> None:
    answer = attach(client, name, content)
    assert answer.status_code == status
    error = answer.get_json()["error"]
    assert error["code"] == code
    assert json.dumps(error["message"])


def test_what_is_no_form_is_refused(client: FlaskClient) -> None:
    assert client.post("/api/attachments", json={}).status_code == 415
    assert client.post("/api/attachments", data={"other": (io.BytesIO(b"x"), "x")}).status_code == 400
    assert client.post("/api/attachments", data={"file": "text"}, content_type="multipart/form-data").status_code == 400
    broken = client.post("/api/attachments", data=b"nonsense", content_type="multipart/form-data; boundary=x")
    assert broken.status_code == 400


def test_a_large_file_is_never_written_to_disk(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = os.open

    def reading_only(path: Any, flags: int, *more: Any, **options: Any) -> int:
        assert not flags & (os.O_WRONLY | os.O_RDWR), f"{path} was opened for writing"
        return real_open(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", reading_only)
    with pytest.raises(AssertionError), tempfile.TemporaryFile():
        pass
    assert attach(client, "a.txt", b"words " * 500_000).status_code == 200
