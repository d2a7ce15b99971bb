"""Reads prompts for ``packer build``, which has no llama.cpp of its own, and writes down what is remembered of them.

The order comes as a JSON file: ``model``, ``adapters`` (path and scale), ``kv_type``, ``context_size``, ``limit_bytes``
(``null``: none), ``least_tokens``, ``system_prompt``, ``prompts`` (as ``CachedPrompt``) and ``directory``. Each line on
standard output is a JSON object: ``{"tokens": 512, "of": 1012}`` while a prompt is read, and when it is done
``{"prompt": 0, "name": ..., "tokens": ..., "size_bytes": ..., "file": ..., "why": ...}``, ``file`` being null and
``why`` the reason where nothing was kept.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packer.container.prompt_states import pack_head
from packer.errors import InputError, OutputError
from runtime.chat_template import ChatOptions
from runtime.cpu import choose_threads
from runtime.engine.kv_cache import common_prefix_length
from runtime.llama.context import Context, Row
from runtime.llama.model import AdapterFile, ModelFile, load_model
from runtime.prompt import LlamaPromptEncoder
from runtime.report import say
from runtime.settings import choose_context

if TYPE_CHECKING:
    from runtime.llama.library import Library
    from runtime.llama.model import Model

BATCH_TOKENS = 512
SPARE_TOKENS = 64
PROBES = ("Hello", "why", "1", "\n", "«", "你好", "?")
"""First messages of chats; what all of them begin with is common to every chat."""


def make_states(library: Library, order_path: Path) -> None:
    """Do what the order asks for. Raises InputError for a model that can't be used, OutputError for a full disk."""
    order = json.loads(order_path.read_text(encoding="utf-8"))
    model = load_model(library, ModelFile(path=Path(order["model"])))
    try:
        if not model.can_generate:
            raise InputError(f"{order['model']}: this model does not chat, so no prompt can be read beforehand")
        for path, scale in order["adapters"]:
            model.load_adapter(AdapterFile(file=ModelFile(path=Path(path)), name=Path(path).stem, scale=scale))
        _make_all(model, order)
    finally:
        model.close()


def _make_all(model: Model, order: dict[str, Any]) -> None:
    encoder = LlamaPromptEncoder(model)
    left = order["limit_bytes"]
    for number, prompt in enumerate(order["prompts"]):
        done = {"prompt": number, "name": prompt["name"], "tokens": 0, "size_bytes": 0, "file": None, "why": None}
        try:
            tokens = prompt_tokens(encoder, prompt, order["system_prompt"])
        except InputError as error:
            say(json.dumps({**done, "why": str(error)}))
            continue
        done["tokens"] = len(tokens)
        path = Path(order["directory"]) / f"{number}.state"
        done |= _make_one(model, tokens, order, left, path)
        if left is not None and done["file"]:
            left -= done["size_bytes"]
        say(json.dumps(done))


def prompt_tokens(encoder: LlamaPromptEncoder, prompt: dict[str, Any], system_prompt: str) -> list[int]:
    """Return the tokens that every request with this prompt begins with. Raises InputError."""
    if prompt["text"] is not None:
        return encoder.encode_text(prompt["text"])
    messages = [{"role": role, "content": content} for role, content in prompt["messages"]]
    own = system_prompt if prompt["system_prompt"] is None else prompt["system_prompt"]
    if own and not any(message["role"] in {"system", "developer"} for message in messages):
        messages.insert(0, {"role": "system", "content": own})
    options = ChatOptions(tools=tuple(json.loads(prompt["tools"] or "[]")))
    if messages and messages[-1]["role"] == "user":
        return encoder.encode_text(encoder.plan_chat(messages, options).prompt)
    chats = [[*messages, {"role": "user", "content": probe}] for probe in PROBES]
    rendered = [encoder.encode_text(encoder.plan_chat(chat, options).prompt) for chat in chats]
    return rendered[0][: min(common_prefix_length(rendered[0], other) for other in rendered)]


def _make_one(model: Model, tokens: list[int], order: dict[str, Any], left: int | None, path: Path) -> dict[str, Any]:
    """Read one prompt and write its state to ``path``; return what changes in the report."""
    limit = choose_context(order["context_size"], model.context_length).size_tokens
    if len(tokens) < order["least_tokens"]:
        return {"why": "short"}
    if len(tokens) >= limit:
        return {"why": f"it has {len(tokens):,} tokens and the context has {limit:,}"}
    expected = (model.kv_bytes_per_token(order["kv_type"]) or 0) * len(tokens)
    if left is not None and expected > left:
        return {"size_bytes": expected, "why": "large"}
    state = read_prompt(model, tokens, order["kv_type"])
    head = pack_head(tokens)
    size_bytes = len(head) + len(state)
    if left is not None and size_bytes > left:
        return {"size_bytes": size_bytes, "why": "large"}
    try:
        with path.open("wb") as stream:
            stream.write(head)
            stream.write(state)
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror})") from error
    return {"size_bytes": size_bytes, "file": str(path)}


def read_prompt(model: Model, tokens: list[int], kv_type: str) -> memoryview:
    """Read a prompt in a context of its own; return the state of the sequence. Raises DecodeError or MachineError."""
    context = Context(
        model,
        num_tokens=len(tokens) + SPARE_TOKENS,
        batch_tokens=BATCH_TOKENS,
        num_threads=choose_threads().count,
        kv_type=kv_type,
    )
    try:
        for start in range(0, len(tokens), context.batch_tokens):
            piece = tokens[start : start + context.batch_tokens]
            context.decode([Row(sequence_id=0, tokens=piece, position=start, want_logits=False)])
            say(json.dumps({"tokens": start + len(piece), "of": len(tokens)}))
        state: memoryview = context.save_sequence(0)
        return state
    finally:
        context.close()
