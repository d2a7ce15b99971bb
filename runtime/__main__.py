"""``python -m runtime`` and the entry point of the frozen program."""

from __future__ import annotations

import sys

from runtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
