"""Says what a projector (mmproj) in a GGUF file is and refuses, in one sentence, one that does not fit its model.

A projector turns pictures into rows as wide as the model's embeddings (llama.cpp, ``tools/mtmd``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packer.errors import InputError
from packer.gguf.header import read_header
from packer.gguf.inspection import check_tensors
from packer.gguf.shards import check_all, find_shards

if TYPE_CHECKING:
    from pathlib import Path

    from packer.gguf.header import GgufHeader


@dataclass(frozen=True, kw_only=True)
class ProjectorInfo:
    """What a projector is; ``kind`` by llama.cpp's name, ``width`` of its rows where the file shows it."""

    name: str
    kind: str
    width: int | None
    size_bytes: int


def inspect_projector(path: Path, model: Path) -> ProjectorInfo:
    """Describe the projector at ``path`` for the model at ``model``. Raises InputError when it does not fit."""
    header = read_header(path)
    model_header = check_all(read_header, find_shards(model))[0]
    architecture = header.get("general.architecture")
    if architecture != "clip":
        raise InputError(
            f"{path}: is no projector (general.architecture is {architecture!r:.60}, expected 'clip'); "
            "give the mmproj file that belongs to the model"
        )
    check_tensors(header)
    if header.get("clip.has_vision_encoder") is not True:
        raise InputError(f"{path}: is a projector for sound, not for pictures; give one with a vision encoder")
    kind = header.get("clip.vision.projector_type") or header.get("clip.projector_type")
    if not isinstance(kind, str):
        raise InputError(f"{path}: does not say its kind (clip.projector_type); convert the projector again")
    width = _width(header, model_header)
    name = header.get("general.name", "")
    return ProjectorInfo(
        name=name if isinstance(name, str) and name.isprintable() and name else path.name.removesuffix(".gguf"),
        kind=kind[:60],
        width=width,
        size_bytes=header.size_bytes,
    )


def _width(header: GgufHeader, model: GgufHeader) -> int | None:
    """Compare the width of a projector's rows with that of the model's embeddings, where the file shows it.

    ``projection_dim`` is that width in newer files only; older ones show it by the last matrix of a plain projector.
    What neither shows, llama.cpp finds out when it loads the projector.
    """
    found = header.get("clip.vision.projection_dim") if header.get("general.type") == "mmproj" else None
    if found is None:
        shapes = (tensor.shape for tensor in header.tensors if tensor.name == "mm.2.weight" and len(tensor.shape) == 2)
        found = next((shape[1] for shape in shapes), None)
    if type(found) is not int:
        return None
    expected = model.get(f"{model.get('general.architecture')}.embedding_length")
    if found != expected:
        raise InputError(
            f"{header.path}: its rows are {found} wide and the embeddings of {model.path.name} {expected}; "
            "is it for another model?"
        )
    return found
