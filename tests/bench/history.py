"""How long lists, chats, searches and saves take with 200 chats of 100 messages, as the server answers them.

Run: ``.venv/bin/python -m tests.bench.history [--chats 200] [--messages 100]``
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask

from runtime.api import chats as chat_routes
from runtime.api.history_access import EXTENSION
from runtime.history.history import History
from runtime.history.records import ChatDraft, MessageDraft, WholeChat
from runtime.history.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.history.store import Store

REPEATS = 20
WORDS_PER_MESSAGE = 120
NUM_WORDS = 5000


def fill(store: Store, num_chats: int, num_messages: int) -> str:
    """Keep that many chats; return the id of the last."""
    chance = random.Random(7)
    vocabulary = [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 9))) for _ in range(NUM_WORDS)
    ]
    parents = tuple(index - 1 if index else None for index in range(num_messages))
    made: list[dict[str, Any]] = []
    for number in range(num_chats):
        texts = [" ".join(chance.choices(vocabulary, k=WORDS_PER_MESSAGE)) for _ in range(num_messages)]
        messages = tuple(
            MessageDraft(role="assistant" if index % 2 else "user", content=text) for index, text in enumerate(texts)
        )
        chat = ChatDraft(title=f"Chat {number}")
        made = store.chats.import_chats(
            [WholeChat(chat=chat, messages=messages, parents=parents, current=num_messages - 1)]
        )
    store.chats.add_message(made[0]["id"], None, MessageDraft(role="user", content="xylophone"))
    return str(made[0]["id"])


def measure(label: str, work: Callable[[], Any]) -> None:
    """Print the median and the slowest of twenty."""
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1000)
    print(f"{label:<28}{statistics.median(taken):8.2f} ms  (slowest {max(taken):.2f})")  # noqa: T201


def main() -> None:
    """Fill a store and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--chats", type=int, default=200)
    parser.add_argument("--messages", type=int, default=100)
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.data_dir) as place:
        history = History(lambda: open_store(Path(place), print))
        started = time.perf_counter()
        store = history.store()
        print(f"{'opened, empty':<28}{(time.perf_counter() - started) * 1000:8.2f} ms")  # noqa: T201
        chat_id = fill(store, arguments.chats, arguments.messages)
        history.close()
        size = sum(path.stat().st_size for path in Path(place).iterdir()) / (1 << 20)
        print(f"{arguments.chats} chats of {arguments.messages} messages take {size:.1f} MiB")  # noqa: T201
        measure("opened", lambda: open_store(Path(place), print).close())
        measure_requests(Path(place), chat_id)


def measure_requests(place: Path, chat_id: str) -> None:
    """Measure whole requests, JSON and all."""
    history = History(lambda: open_store(place, print))
    app = Flask("bench")
    app.extensions[EXTENSION] = history
    app.register_blueprint(chat_routes.create_blueprint())
    client = app.test_client()
    reply = client.post(f"/api/chats/{chat_id}/messages", json={"role": "assistant", "state": "streaming"}).get_json()
    growing = {"content": "word " * 4000, "state": "streaming"}
    measure("list", lambda: client.get("/api/chats"))
    measure("a whole chat", lambda: client.get(f"/api/chats/{chat_id}"))
    measure("search, one chat has it", lambda: client.get("/api/chats?query=xylophone"))
    measure("search, every chat has it", lambda: client.get("/api/chats?query=a"))
    measure(
        "save a reply that grows", lambda: client.patch(f"/api/chats/{chat_id}/messages/{reply['id']}", json=growing)
    )
    measure(
        "keep a message", lambda: client.post(f"/api/chats/{chat_id}/messages", json={"role": "user", "content": "x"})
    )
    history.close()


if __name__ == "__main__":
    main()
