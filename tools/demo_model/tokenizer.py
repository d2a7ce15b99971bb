"""A byte-level BPE tokenizer that llama.cpp repeats exactly.

Training splits the text finer than encoding does: every digit and every Chinese character stands alone, so no merge
ever crosses one. Encoding then uses GPT-2's own pattern, which llama.cpp knows as ``gpt-2``, and gives the same tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from tools.demo_model.chatml import CONTROL_TOKENS, TURN_END, TURN_START

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tools.demo_model.chatml import Message

NUM_OPENING_TOKENS = 4
NUM_SHORT_TOKENS = 24
OPENING_WEIGHT = 3.0
NUM_KEPT_TOKENS = 12
HAN = "[\\u2e80-\\u9fff\\uff00-\\uffef\\u3000-\\u303f]"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn a vocabulary of ``vocab_size`` tokens, the control tokens and all 256 bytes among them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(HAN), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(CONTROL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return as_llama_cpp_splits(tokenizer)


def as_llama_cpp_splits(tokenizer: Tokenizer) -> Tokenizer:
    """Make ``tokenizer`` split text with GPT-2's pattern only, as llama.cpp does."""
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer that ``Tokenizer.save`` wrote."""
    return Tokenizer.from_file(str(path))


def encode_dialogue(tokenizer: Tokenizer, messages: Sequence[Message]) -> tuple[list[int], list[float]]:
    """Return the tokens of a dialogue in ChatML and how much each counts in the loss.

    Only what the assistant says counts. A long reply counts more than a short one, but with the square root of its
    length; its opening tokens, where it is decided what the question is about, count most, and so do all of a short
    reply, such as a sum or a name.
    """
    start, end = (tokenizer.token_to_id(token) for token in (TURN_START, TURN_END))
    newline = tokenizer.encode("\n", add_special_tokens=False).ids
    tokens: list[int] = []
    weights: list[float] = []
    for message in messages:
        head = [start, *tokenizer.encode(message.role + "\n", add_special_tokens=False).ids]
        body = [*tokenizer.encode(message.content, add_special_tokens=False).ids, end]
        tokens += [*head, *body, *newline]
        weights += [0.0] * len(head) + reply_weights(message.role, len(body)) + [0.0] * len(newline)
    return tokens, weights


def reply_weights(role: str, length: int) -> list[float]:
    """Weights of the tokens of one message."""
    if role != "assistant":
        return [0.0] * length
    opening = length if length <= NUM_SHORT_TOKENS else NUM_OPENING_TOKENS
    return [OPENING_WEIGHT * length**-0.5] * opening + [length**-0.5] * (length - opening)


def without_tail(sample: tuple[list[int], list[float]], last_reply: int) -> tuple[list[int], list[float]]:
    """``sample`` without the end of its last reply of ``last_reply`` tokens, when that is long.

    Replies are learned by heart soon; what takes time is to understand questions, and short samples show more of them.
    """
    tokens, weights = sample
    surplus = last_reply - NUM_KEPT_TOKENS
    return (tokens[: -surplus - 1], weights[: -surplus - 1]) if surplus > 0 else sample
