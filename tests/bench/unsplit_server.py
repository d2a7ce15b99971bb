"""This project's engine and API from the sources, but with prompts read in one step instead of in chunks.

It exists to measure what splitting is worth: ``python -m tests.bench.pauses``.
"""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from unittest import mock

from packer.runtimes.recipe import build_parts
from packer.toolchain.build_cache import default_build_cache
from runtime import loading
from runtime.cpu import choose_threads
from runtime.engine.step_costs import StepCosts
from tests.support import reference
from tests.support.real_engine import RealEngine

WHOLE_PROMPT_TOKENS = 4096


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ctx-size", type=int, required=True)
    options = parser.parse_args()
    sys.path.insert(0, str(reference.staged_binding(build_parts(default_build_cache(), lambda _text: None))))
    from runtime.api import create_app
    from runtime.llama.library import load_library
    from runtime.server import WebServer, bind

    with (
        mock.patch.object(loading, "BATCH_TOKENS", WHOLE_PROMPT_TOKENS),
        mock.patch.object(StepCosts, "step_tokens", lambda _self, _num_rows: WHOLE_PROMPT_TOKENS),
        RealEngine.started(
            load_library(), options.model, context_size=options.ctx_size, num_threads=choose_threads().count
        ) as real,
    ):
        server = WebServer(create_app(real.service()), bind(options.port, explicit=True))
        server.start()
        threading.Event().wait()


if __name__ == "__main__":
    main()
