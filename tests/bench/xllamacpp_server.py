"""Starts xllamacpp's HTTP server the way its README does, with the settings of the other servers.

Run by the interpreter of :mod:`tests.bench.environment`, by path.
"""

from __future__ import annotations

import argparse
import signal

import xllamacpp


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    for name in ("port", "ctx-size", "slots", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    chosen = parser.parse_args()
    params = xllamacpp.CommonParams()
    params.model.path = chosen.model
    params.port = chosen.port
    params.n_ctx = chosen.ctx_size
    params.n_parallel, params.kv_unified = chosen.slots, True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = chosen.threads
    params.ui = False
    server = xllamacpp.Server(params)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    del server


if __name__ == "__main__":
    main()
