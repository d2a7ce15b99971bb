"""Our reading of GBNF against llama.cpp's: what we accept it accepts, and nothing is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from packer.errors import InputError
from runtime.gbnf_check import GbnfError, GbnfTooLargeError, check_gbnf
from runtime.json_schema import json_object_grammar
from runtime.llama.errors import GrammarError
from runtime.llama.sampler import start_grammar
from tests.runtime.test_gbnf_check import BROKEN, SOUND, TOO_LARGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.real_engine import RealEngine

PIECES = st.sampled_from(
    ["root", "a", "b",
     " ::= ", "|", "(", ")", "*", "+", "?", "{", "}", "{2}", "{0,3}", ",", '"', '"x"', "[", "]", "[a-z]",
     "^", "-", "\\", "\\n", "\\x4", "\n", " ", "#", ".", "<", ">", "<[5]>", "!", "é", "9", "_", "root ::= ", "\na ::= "]
)  # fmt: skip
GRAMMARS = st.lists(PIECES, max_size=14).map("".join) | st.builds(
    lambda text, at, piece, length: text[:at] + piece + text[at + length :],
    st.sampled_from([*SOUND, json_object_grammar()]),
    st.integers(0, 200),
    PIECES,
    st.integers(0, 3),
)


@pytest.fixture
def real(open_engine: Callable[..., RealEngine]) -> RealEngine:
    return open_engine()


def is_read_by_llama_cpp(real: RealEngine, text: str) -> bool:
    runner = real.engine._runner
    assert runner is not None
    api, model = runner.model.library.api, runner.model  # type: ignore[attr-defined]
    model.library.log.clear()
    try:
        api.llama_sampler_free(start_grammar(api, api.llama_model_get_vocab(model.pointer), text))
    except GrammarError:
        return any("left recursion" in line for line in model.library.log.errors())
    return True


def is_one_token(real: RealEngine) -> Callable[[str], bool]:
    return lambda name: len(real.encoder.tokenize(name, add_special=False, parse_special=True)) == 1


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=GRAMMARS)
@example(text='root ::= "x"*?{2}+')
@example(text='root ::= (("a" | "b"{2}){3} [x]?){4}')
@example(text="root ::= a a{3}\na ::= (root2 | [b])\nroot2 ::= .")
def test_both_read_alike(real: RealEngine, capfd: pytest.CaptureFixture[str], text: str) -> None:
    try:
        check_gbnf(text, is_one_token(real))
    except GbnfTooLargeError:
        return
    except GbnfError:
        # What has no root is left to the caller by llama.cpp's parser, but refused a step later.
        assert not is_read_by_llama_cpp(real, text)
        capfd.readouterr()
        return
    assert is_read_by_llama_cpp(real, text)
    printed = capfd.readouterr().err
    assert "grammar" not in printed


def test_refused_grammars_are_not_printed(real: RealEngine, capfd: pytest.CaptureFixture[str]) -> None:
    client = real.client()
    for text in (*(text for text, _words in BROKEN if text), *TOO_LARGE):
        answer = client.post("/v1/completions", json={"prompt": "hi", "grammar": text})
        assert answer.status_code == 400
        assert answer.get_json()["error"]["param"] == "grammar"
        with pytest.raises(InputError):
            real.encoder.check_grammar(text)
    captured = capfd.readouterr()
    assert "::=" not in captured.err + captured.out


def test_left_recursion_is_refused(real: RealEngine, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="left recursion"):
        real.encoder.check_grammar('root ::= root "a" | "b"')
    assert "::=" not in capfd.readouterr().err
