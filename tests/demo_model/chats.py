"""Holds chats with the packed model at temperature 0, many at once, as the engine answers several together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.program import Server

NUM_AT_ONCE = 6
MAX_TOKENS = 200


@dataclass(frozen=True)
class Chats:
    """Chats with the model behind ``server``."""

    server: Server

    def answers(self, turns: Sequence[str]) -> list[str]:
        """Hold one chat and return its answers; every one must end by itself."""
        messages: list[dict[str, str]] = []
        for turn in turns:
            messages.append({"role": "user", "content": turn})
            body = {"messages": messages, "temperature": 0, "max_tokens": MAX_TOKENS}
            choice = self.server.json("/v1/chat/completions", body)["choices"][0]
            assert choice["finish_reason"] == "stop", (turn, choice)
            messages.append({"role": "assistant", "content": str(choice["message"]["content"])})
        return [message["content"] for message in messages if message["role"] == "assistant"]

    def last_answers(self, chats: Sequence[Sequence[str]]) -> list[str]:
        """The last answer of each of ``chats``."""
        with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
            return [answers[-1] for answers in pool.map(self.answers, chats)]
