"""Loaded by schemathesis: the refusals of well-formed requests that no JSON schema can foresee."""

from __future__ import annotations

import json
import re
from typing import Any

import schemathesis

UNFORESEEN = re.compile(
    r"grammar: "
    r"|json_schema: \$|response_format\.(json_schema\.)?schema: \$|text\.format\.schema: \$"
    r"|n: at most 32 replies"
    r"|best_of: expected n"
    r"|logit_bias: there is no token|lora: there is no adapter"
    r"|(prompt|input): this model's tokens are|tokens: "
    r"|dimensions: this model's vectors"
    r"|.* tokens.*context"
)
"""What GBNF is, what of JSON Schema can be enforced, sums and products, and the size of vocabulary and context."""


FILES = frozenset({"/api/attachments", "/api/chats/import"})
"""Operations whose bodies are files of several kinds, of which a schema says next to nothing."""


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Drop the complaint that a valid request was refused, if the reason is one of these."""
    kind = type(failure).__name__
    if case.operation.path in FILES and kind in {"RejectedPositiveData", "AcceptedNegativeData"}:
        return bool(response.status_code >= 500)
    if kind != "RejectedPositiveData" or response.status_code != 400:
        return True
    return not UNFORESEEN.match(json.loads(response.text)["error"]["message"])
