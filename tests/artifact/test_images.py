"""A model packed with a projector: pictures through the three chat APIs, equal and different ones, bad ones."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from openai import BadRequestError, OpenAI
from playwright.sync_api import expect

from tests.support import program
from tests.support.browser import TIMEOUT_MS, Watch
from tests.support.projectors import NUM_ROWS, data_url, png, write_projector
from tests.web.page_driver import expect_state, send, wait_until_saved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

RED, BLUE = png((255, 20, 20)), png((20, 20, 255))
QUESTION = "What is in this picture? " * 4


@pytest.fixture(scope="module")
def seeing(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model packed with a projector."""
    directory = tmp_path_factory.mktemp("seeing")
    write_projector(directory / "mmproj.gguf")
    done = program.packer("build", tiny_model, "--mmproj", directory / "mmproj.gguf", "-o", directory / "chat")
    assert done.returncode == 0, done.stderr
    (directory / "mmproj.gguf").unlink()
    return directory / "chat"


@pytest.fixture(scope="module")
def server(seeing: Path, runtime_cache: Path) -> Iterator[program.Server]:
    with program.Launcher(seeing, runtime_cache).serving("--max-tokens", "40") as server:
        yield server


@pytest.fixture
def client(server: program.Server) -> OpenAI:
    return OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)


def user(*pictures: bytes, text: str = QUESTION) -> dict[str, Any]:
    images = [{"type": "image_url", "image_url": {"url": data_url(one)}} for one in pictures]
    return {"role": "user", "content": [*images, {"type": "text", "text": text}]}


def ask(client: OpenAI, *messages: Any, **more: Any) -> Any:
    return client.chat.completions.create(
        model="any", messages=messages, temperature=0, max_tokens=8, logprobs=True, top_logprobs=3, **more
    )


def scores(reply: Any) -> list[float]:
    return [token.logprob for token in reply.choices[0].logprobs.content]


def test_pictures_are_seen_and_told_apart(client: OpenAI) -> None:
    red = ask(client, user(RED))
    again = ask(client, user(RED))
    once_more = ask(client, user(RED))
    blue = ask(client, user(BLUE))
    without = ask(client, {"role": "user", "content": QUESTION})
    # A prompt that is read one token after the other differs in its last bits from one that is read at once.
    assert once_more.choices[0].message.content == again.choices[0].message.content
    assert scores(once_more) == pytest.approx(scores(again), abs=1e-3)
    assert scores(blue)[0] != pytest.approx(scores(red)[0], abs=0.1)
    assert red.usage.prompt_tokens == without.usage.prompt_tokens + NUM_ROWS
    assert again.usage.prompt_tokens_details.cached_tokens > NUM_ROWS
    assert blue.usage.prompt_tokens_details.cached_tokens < NUM_ROWS


def test_a_chat_goes_on_behind_its_picture(client: OpenAI) -> None:
    first = ask(client, user(RED, BLUE))
    said = {"role": "assistant", "content": first.choices[0].message.content}
    second = ask(client, user(RED, BLUE), said, {"role": "user", "content": "And now?"})
    assert second.usage.prompt_tokens_details.cached_tokens >= 2 * NUM_ROWS
    swapped = ask(client, user(BLUE, RED))
    assert swapped.usage.prompt_tokens_details.cached_tokens < 2 * NUM_ROWS


def test_pictures_run_beside_other_chats(server: program.Server, client: OpenAI) -> None:
    alone = ask(client, user(BLUE, RED, BLUE))
    stream = client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "Tell me"}], max_tokens=200, stream=True, temperature=0
    )
    next(iter(stream))
    beside = ask(client, user(BLUE, RED, BLUE, text=QUESTION + "x"))
    assert sum(1 for _chunk in stream) > 1
    assert beside.usage.prompt_tokens == alone.usage.prompt_tokens + 1


def test_responses_and_messages_take_pictures(server: program.Server, client: OpenAI) -> None:
    expected = ask(client, user(RED)).usage.prompt_tokens
    parts = [{"type": "input_image", "image_url": data_url(RED)}, {"type": "input_text", "text": QUESTION}]
    answer = server.json("/v1/responses", {"input": [{"role": "user", "content": parts}], "max_output_tokens": 4})
    assert answer["usage"]["input_tokens"] == expected
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(RED).decode()}
    blocks = [{"type": "image", "source": source}, {"type": "text", "text": QUESTION}]
    body = {"messages": [{"role": "user", "content": blocks}], "max_tokens": 4}
    usage = server.json("/v1/messages", body)["usage"]
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == expected
    assert server.json("/v1/messages/count_tokens", body)["input_tokens"] == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://example.com/cat.png", "data URL"),
        ("data:image/png;base64,!!!!", "Base64"),
        (data_url(b"GIF89a"), "beginning is damaged"),
        (data_url(RED[:200]), "damaged"),
        (data_url(png((1, 2, 3), width=60_000, height=60_000, rows=1)), "can't be read"),
        (data_url(png((1, 2, 3), width=9_000, height=9_000, rows=1)), "pixels"),
        (data_url(b"no picture at all"), "no PNG"),
    ],
)
def test_bad_pictures_are_clear_errors(client: OpenAI, url: str, message: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is it?"}]
    with pytest.raises(BadRequestError, match=message) as caught:
        ask(client, {"role": "user", "content": content})
    assert caught.value.status_code == 400
    assert ask(client, user(RED)).choices[0].finish_reason


def test_a_chat_with_pictures_is_never_shifted(seeing: Path, runtime_cache: Path) -> None:
    with program.Launcher(seeing, runtime_cache).serving("--ctx-size", "256", "--context-shift") as server:
        client = OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)
        assert ask(client, user(text="word " * 2000)).usage.prompt_tokens < 256
        with pytest.raises(BadRequestError) as caught:
            ask(client, user(RED, text="word " * 2000))
        assert caught.value.code == "context_length_exceeded"
        numbers = r"the conversation is \d{4} tokens long and the context holds 256, reply included"
        assert re.search(f"{numbers}, and it can't lose its oldest part because of its pictures; ", str(caught.value))
        assert ask(client, user(RED, text="word")).choices[0].finish_reason


def test_without_a_projector_a_picture_is_refused(launch: program.Launcher) -> None:
    with launch.serving() as server:
        status, body = server.request("/v1/chat/completions", {"messages": [user(RED)]})
        assert status == 400
        assert b"can't see pictures" in body
        assert server.json("/api/info")["attachments"]["images"] is False


def test_a_wrong_projector_is_refused_before_anything_is_written(tiny_model: Path, tmp_path: Path) -> None:
    wide, deaf = tmp_path / "wide.gguf", tmp_path / "deaf.gguf"
    write_projector(wide, width=64)
    write_projector(deaf, has_vision=False)
    for wrong, message in ((tiny_model, "is no projector"), (wide, "64 wide"), (deaf, "for sound")):
        done = program.packer("build", tiny_model, "--mmproj", wrong, "-o", tmp_path / "out")
        assert done.returncode == 3
        assert message in done.stderr
        assert not (tmp_path / "out").exists()


def test_the_projector_stands_in_the_file_and_is_described(seeing: Path, runtime_cache: Path) -> None:
    described = json.loads(program.packer("inspect", "--json", seeing).stdout)
    (entry,) = [one for one in described["entries"] if one["name"] == "model/projector/mmproj.gguf"]
    assert entry["data_offset_bytes"] % 65536 == 0
    assert program.packer("verify", seeing).returncode == 0
    assert "Tiny projector" in program.Launcher(seeing, runtime_cache).run("--info").stdout


def test_the_page_attaches_shows_and_keeps_a_picture(server: program.Server, browser: Browser) -> None:
    watch = Watch()
    page = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en").new_page()
    page.context.set_default_timeout(TIMEOUT_MS)
    watch.attach(page)
    page.goto(server.address)
    large = png((20, 200, 20), width=2000, height=500)
    page.locator("#attach-input").set_input_files([{"name": "green.png", "mimeType": "image/png", "buffer": large}])
    expect(page.locator("#attachments img")).to_have_attribute("alt", "green.png")
    send(page, "What is it?")
    expect_state(page, "done")
    expect(page.get_by_role("button", name="Continue")).to_have_count(0)
    shown = page.locator(".message-user img")
    expect(shown).to_have_js_property("naturalWidth", 1536)
    wait_until_saved(page)
    page.reload()
    expect(shown).to_have_js_property("naturalWidth", 1536)
    send(page, "And now?")
    expect_state(page, "done")
    page.context.close()
    assert watch.foreign() == []
    assert watch.errors == []
