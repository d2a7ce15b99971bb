"""What ``packer build`` lets this program do, having no llama.cpp of its own: options that are not for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.llama.library import load_library

if TYPE_CHECKING:
    from pathlib import Path


def quantize_for_packer(options: dict[str, Any]) -> int:
    """Serve ``--quantize``."""
    from runtime.quantization import quantize

    source, output, wanted = options["quantize"]
    library = load_library()
    quantize(library, source, output, str(wanted), importance_path=options["imatrix"], again=options["requantize"])
    library.silence()
    return 0


def make_prompt_states(order: Path) -> int:
    """Serve ``--prompt-cache``."""
    from runtime.prompt_states.making import make_states

    library = load_library()
    try:
        make_states(library, order)
    finally:
        library.silence()
    return 0
