"""The ChatML form of a dialogue: its messages, control tokens and the chat template that goes into the GGUF."""

from __future__ import annotations

from typing import NamedTuple

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
CONTROL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class Message(NamedTuple):
    """One turn of a dialogue; ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str
