"""The benchmarks' own virtual environment: peers that come from PyPI, and matplotlib; never part of the test suite's.

``packer/locks/bench.txt`` names everything by hash. llama-cpp-python is not in it: PyPI has its source only, which the
build of the runtime fetches as well; :func:`tests.bench.peers.llama_cpp_python` compiles that.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from packer.toolchain import process
from packer.toolchain.build_cache import default_build_cache, digest_of, file_sha256
from packer.toolchain.environment import LOCKS, python_identity

if TYPE_CHECKING:
    from pathlib import Path

LOCK = LOCKS / "bench.txt"
INSTALL = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--only-binary=:all:"]


def bench_python() -> Path:
    """Return the interpreter of that environment, which is made when it is missing."""

    def build(work: Path) -> None:
        sys.stderr.write("installing the peers of PyPI\n")
        subprocess.run([sys.executable, "-m", "venv", work], check=True)
        process.run(
            [work / "bin" / "python", *INSTALL, "--require-hashes", "-r", LOCK], env=process.clean_environment()
        )

    digest = digest_of([file_sha256(LOCK), python_identity()])
    return default_build_cache().get_or_build("bench", digest, build) / "bin" / "python"
