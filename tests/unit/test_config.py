"""The settings file: what is accepted, how problems read, and that writing and parsing are inverse."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.container.config import (
    BundleConfig,
    ChatConfig,
    SamplingConfig,
    dump_config,
    known_keys,
    load_config,
    parse_config,
    with_overrides,
)
from packer.errors import InputError


def test_an_empty_file_gives_the_defaults() -> None:
    assert parse_config("", "c.toml") == BundleConfig()


def test_every_known_key_can_be_set() -> None:
    text = """
        title = "Ward 7"
        locked = ["chat.system_prompt", "sampling.temperature"]
        [chat]
        system_prompt = "You help nurses."
        greeting = "Hello"
        starters = ["What can you do?", "你好"]
        [sampling]
        temperature = 0
        top_k = 1
        top_p = 1.0
        min_p = 0.0
        repeat_penalty = 1.1
        seed = 7
        max_tokens = 100
        [context]
        size = 0
        [server]
        port = 9000
        browser = false
        [engine]
        threads = 2
    """
    config = parse_config(text, "c.toml")
    assert config.chat.starters == ("What can you do?", "你好")
    assert config.sampling == SamplingConfig(
        temperature=0, top_k=1, top_p=1.0, min_p=0.0, repeat_penalty=1.1, seed=7, max_tokens=100
    )
    assert (config.context.size, config.server.port, config.server.browser, config.engine.threads) == (
        0,
        9000,
        False,
        2,
    )
    assert parse_config(dump_config(config), "again") == config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("titel = 'x'", ["titel: is no known key", "did you mean title?"]),
        ("[sampling]\ntemprature = 1", ["sampling.temprature", "did you mean sampling.temperature?"]),
        ("[sampling]\ntemperature = 'hot'", ["sampling.temperature: expected a number from 0 to 5, found 'hot'"]),
        ("[sampling]\ntemperature = 9", ["expected a number from 0 to 5, found 9"]),
        ("[sampling]\ntop_k = 1.5", ["sampling.top_k: expected a whole number"]),
        ("[sampling]\ntop_k = true", ["sampling.top_k: expected a whole number", "found True"]),
        ("[chat]\nstarters = ['a', 1]", ["chat.starters: expected a list of strings"]),
        ("[server]\nport = 0", ["server.port: expected a port from 1 to 65535, found 0"]),
        ("locked = ['chat.prompt']", ["locked: 'chat.prompt' is no known key"]),
        ("chat = 3", ["chat: expected a table, [chat], found 3"]),
        ("[[chat]]", ["chat: expected a table, [chat], found [{}]"]),
        ("[chatt]\ngreeting = 'x'", ["chatt: is no known key", "did you mean chat?"]),
        ("'chat.greeting' = 'x'", ["'chat.greeting': is no known key", "did you mean chat.greeting?"]),
        ("'a\u2028b' = 1", ["'a\\u2028b': is no known key"]),
        ("[sampling]\ntemperature = nan", ["sampling.temperature: expected a number from 0 to 5, found nan"]),
        ("title = 1979-05-27", ["title: expected a string, found datetime.date(1979, 5, 27)"]),
        (f"[server]\nport = {'9' * 5000}", ["is not valid TOML"]),
        (f"[server]\nport = 0x{'f' * 5000}", ["server.port: expected a port", "thousands of digits"]),
        ("[context]\nkv_type = 'q3_K'", ["context.kv_type: expected one of f16, q8_0, q4_0, found 'q3_K'"]),
        ("[context]\nshift = 1", ["context.shift: expected true or false, found 1"]),
        (f"[context]\nsize = '{'x' * 5000}'", ["context.size: expected a number of tokens", "xxx..."]),
        ("title = ", ["is not valid TOML"]),
        ("system_prompt = 'x'", ["did you mean chat.system_prompt?"]),
    ],
)
def test_a_problem_names_key_expectation_value_and_file(text: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        parse_config(text, "my.toml")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
    for word in ["my.toml", *words]:
        assert word in message


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse_config("a = 1\n[server]\nport = -1\nbrowser = 2", "c.toml")
    assert len(str(caught.value).splitlines()) == 3


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_config(tmp_path / "absent.toml")
    broken = tmp_path / "latin.toml"
    broken.write_bytes(b"title = 'caf\xe9'")
    with pytest.raises(InputError, match="not UTF-8"):
        load_config(broken)
    with pytest.raises(InputError, match="Is a directory"):
        load_config(tmp_path)
    model = tmp_path / "model.gguf"
    with model.open("wb") as stream:
        stream.truncate(5 * 1024 * 1024)
    with pytest.raises(InputError, match="is larger than"):
        load_config(model)


def test_a_syntax_error_says_the_line(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("title = 'ok'\n[chat\n")
    with pytest.raises(InputError, match="line 2") as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: is not valid TOML")
    with pytest.raises(InputError, match="is not valid TOML"):
        parse_config(f"a = {'[' * 20_000}", "deep.toml")


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xef\xbb\xbftitle = 'Caf\xc3\xa9'\r\n[chat]\r\ngreeting = 'Hi'\r\n")
    config = load_config(path)
    assert (config.title, config.chat.greeting) == ("Café", "Hi")


def test_equal_settings_are_written_alike() -> None:
    one = parse_config("[sampling]\ntemperature = 1\nrepeat_penalty = 1", "one")
    other = parse_config("[sampling]\ntemperature = 1.0", "other")
    assert dump_config(one) == dump_config(other)


def test_overrides_obey_the_same_rules() -> None:
    config = with_overrides(BundleConfig(), {"context.size": 8192, "title": "T"}, source="command line")
    assert (config.context.size, config.title) == (8192, "T")
    with pytest.raises(InputError, match=r"command line: context\.size: expected"):
        with_overrides(config, {"context.size": -5}, source="command line")
    with pytest.raises(InputError, match="title: expected a string"):
        with_overrides(config, {"title": "\udcff"}, source="command line")
    with pytest.raises(InputError, match=r"chat\.starters: expected a list of strings"):
        with_overrides(config, {"chat.starters": ("fine", "\udcff")}, source="command line")
    with pytest.raises(InputError, match=r"chat\.starters: expected a list of strings"):
        with_overrides(config, {"chat.starters": ("fine", 2)}, source="command line")
    with pytest.raises(InputError, match="known key; did you mean context"):
        with_overrides(config, {"context.sise": 1}, source="command line")


def test_needs_the_standard_library_only() -> None:
    """The frozen runtime has this module and no package that writes TOML."""
    source = Path(sys.modules[BundleConfig.__module__].__file__ or "").read_text()
    roots = {line.split()[1].partition(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert roots <= {*sys.stdlib_module_names, "packer"}


texts = st.text(st.characters(blacklist_categories=["Cs"]))


@given(st.builds(BundleConfig, title=texts, chat=st.builds(ChatConfig, system_prompt=texts, starters=st.tuples(texts))))
def test_writing_and_parsing_are_inverse(config: BundleConfig) -> None:
    assert parse_config(dump_config(config), "round trip") == config


@given(
    st.dictionaries(
        st.sampled_from(sorted(known_keys())),
        st.one_of(st.integers(), st.booleans(), st.floats(), texts, st.lists(texts)),
    )
)
def test_any_value_is_accepted_or_refused_with_a_sentence(values: dict[str, object]) -> None:
    try:
        config = with_overrides(BundleConfig(), values, source="s")
    except InputError as error:
        assert "expected" in str(error) or "known key" in str(error)
    else:
        assert parse_config(dump_config(config), "again") == config
