"""What the native side of this system is called and how it is reached: one module for each system, one of them here."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from runtime.llama.native_windows import (
        binding_import,
        c_library,
        library_name,
        loaded_variant,
        open_stream,
        seek_stream,
    )
else:
    from runtime.llama.native_linux import (
        binding_import,
        c_library,
        library_name,
        loaded_variant,
        open_stream,
        seek_stream,
    )

__all__ = ["binding_import", "c_library", "library_name", "loaded_variant", "open_stream", "seek_stream"]
