"""Makes the weights of a model smaller before it is packed.

llama.cpp does it, inside the runtime of this system, started as a program of its own: packer loads no model. The
result is a file beside the output, gone again when the packing ends, well or not.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packer.errors import OutputError
from packer.runtime_child import runtime_reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """What is wanted: a type by llama.cpp's name, an importance matrix, and whether quantized weights may be used."""

    type_name: str
    importance: Path | None = None
    again: bool = False

    def command(self, program: Path, source: Path, output: Path) -> list[str]:
        """The command line of the runtime that does it."""
        extra = ["--imatrix", str(self.importance.absolute())] if self.importance else []
        extra += ["--requantize"] if self.again else []
        return [str(program), "--quantize", str(source.absolute()), str(output), self.type_name, *extra]


@contextlib.contextmanager
def quantized(
    program: Path, source: Path, beside: Path, wanted: Quantization, note: Callable[[str], None]
) -> Iterator[Path]:
    """Yield the path of ``source`` quantized, in a directory next to ``beside`` that is removed afterwards.

    ``program`` is a bundle without a model. Raises InputError, OutputError, or BuildError for anything unforeseen.
    """
    try:
        work = tempfile.TemporaryDirectory(prefix=f".{beside.name}.", dir=beside.parent)
    except OSError as error:
        raise OutputError(f"{beside.parent}: can't be written to ({error.strerror})") from error
    with work as directory:
        output = Path(directory) / f"{_stem(source)}-{wanted.type_name.upper()}.gguf"
        with contextlib.closing(runtime_reports(wanted.command(program, source, output), "quantizing")) as reports:
            for done in reports:
                note(f"tensor {done['tensor']}/{done['tensors']}")
        yield output


def _stem(source: Path) -> str:
    stem = source.name.removesuffix(".gguf")
    for suffix in ("F32", "F16", "BF16"):
        for separator in "-._":
            for spelling in (suffix, suffix.lower()):
                stem = stem.removesuffix(separator + spelling)
    return stem or "model"
