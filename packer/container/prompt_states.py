"""The layout of a packed prompt state: what llama.cpp remembers of a prompt that was read when the file was made.

An entry under ``model/prompts/``, all numbers little-endian::

    magic       8 bytes, "PKPROMPT"
    version     4 bytes, 1
    num_tokens  4 bytes
    tokens      4 bytes each, signed
    zeros       up to a multiple of 64 bytes
    state       as ``llama_state_seq_get_data`` gives it (llama.h), to the end of the entry

A state is worth nothing to another model, another format of the KV cache or another llama.cpp, so the manifest holds a
key of them all and of the tokens. Whoever restores a state makes the key anew from what really runs; where they differ,
the prompt is read as if nothing had been packed.
"""

from __future__ import annotations

import hashlib
import json
import struct
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAGIC = b"PKPROMPT"
VERSION = 1
PREAMBLE = struct.Struct("<8s2I")
STATE_ALIGNMENT_BYTES = 64
MAX_TOKENS = 1 << 24


def pack_head(tokens: Sequence[int]) -> bytes:
    """Return everything of an entry that stands before the state."""
    head = PREAMBLE.pack(MAGIC, VERSION, len(tokens)) + struct.pack(f"<{len(tokens)}i", *tokens)
    return head + bytes(-len(head) % STATE_ALIGNMENT_BYTES)


def head_bytes(preamble: bytes, entry_bytes: int) -> int:
    """Return the size of the head that begins with ``preamble``. Raises ValueError when it is none of this format."""
    if len(preamble) < PREAMBLE.size:
        raise ValueError("it is too short")
    num_tokens: int
    magic, version, num_tokens = PREAMBLE.unpack_from(preamble)
    if magic != MAGIC or version != VERSION:
        raise ValueError(f"it begins with {magic!r}, version {version}; expected {MAGIC!r}, version {VERSION}")
    size = PREAMBLE.size + 4 * num_tokens
    size += -size % STATE_ALIGNMENT_BYTES
    if not 0 < num_tokens <= MAX_TOKENS or size >= entry_bytes:
        raise ValueError(f"it claims {num_tokens} tokens in {entry_bytes} bytes")
    return size


def parse_tokens(head: bytes) -> list[int]:
    """Return the tokens of a whole head, whose size :func:`head_bytes` told."""
    _magic, _version, num_tokens = PREAMBLE.unpack_from(head)
    return list(struct.unpack_from(f"<{num_tokens}i", head, PREAMBLE.size))


def state_key(
    *, model_sha256: str, adapters: Iterable[tuple[str, float]], kv_type: str, llama_cpp: str, tokens: Sequence[int]
) -> str:
    """Return the digest of everything that a state depends on; ``adapters`` are digests with scales, in order.

    The chat template is part of the model and shows in the tokens.
    """
    facts = {
        "version": VERSION,
        "model": model_sha256,
        "adapters": [[digest, float(scale)] for digest, scale in adapters],
        "kv_type": kv_type,
        "llama_cpp": llama_cpp,
        "tokens": hashlib.sha256(array("q", tokens).tobytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
