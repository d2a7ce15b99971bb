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
    r"|logit_bias: there is no token"
    r"|prompt: this model's tokens are|tokens: "
    r"|.* tokens.*context"
)
"""What GBNF is, what of JSON Schema can be enforced, sums and products, and the size of vocabulary and context."""


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Drop the complaint that a valid request was refused, if the reason is one of these."""
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code != 400:
        return True
    return not UNFORESEEN.match(json.loads(response.text)["error"]["message"])
