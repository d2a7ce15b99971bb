"""A projector of random weights for the tiny model, and pictures to look at."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING

from tests.support import tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

WIDTH, FEED_FORWARD, LAYERS, HEADS = 32, 64, 2, 2
IMAGE_PIXELS, PATCH_PIXELS = 32, 8
NUM_ROWS = (IMAGE_PIXELS // PATCH_PIXELS) ** 2


def write_projector(path: Path, *, seed: int = 5, width: int = tiny_model.WIDTH, has_vision: bool = True) -> None:
    """Write a LLaVA projector ("mlp"): a small vision transformer and two matrices, rows of ``width``."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "clip")
    writer.add_name("Tiny projector")
    writer.add_bool("clip.has_vision_encoder", has_vision)
    writer.add_string("clip.projector_type", "mlp")
    counts = {
        "image_size": IMAGE_PIXELS,
        "patch_size": PATCH_PIXELS,
        "embedding_length": WIDTH,
        "feed_forward_length": FEED_FORWARD,
        "projection_dim": width,
        "block_count": LAYERS,
        "attention.head_count": HEADS,
    }
    for name, value in counts.items():
        writer.add_uint32(f"clip.vision.{name}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    writer.add_bool("clip.use_gelu", True)
    for name, values in _tensors(np.random.default_rng(seed), width):
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(random: np.random.Generator, width: int) -> list[tuple[str, npt.NDArray[np.float32]]]:
    import numpy as np

    def values(*shape: int, scale: float = 1.0) -> npt.NDArray[np.float32]:
        return np.asarray(random.standard_normal(shape) * scale / np.sqrt(shape[-1]), dtype=np.float32)

    def norm(name: str) -> list[tuple[str, npt.NDArray[np.float32]]]:
        ones, zeros = np.ones(WIDTH, dtype=np.float32), np.zeros(WIDTH, dtype=np.float32)
        return [(f"{name}.weight", ones), (f"{name}.bias", zeros)]

    def linear(name: str, rows: int, columns: int, scale: float = 1.0) -> list[tuple[str, npt.NDArray[np.float32]]]:
        return [(f"{name}.weight", values(rows, columns, scale=scale)), (f"{name}.bias", values(rows))]

    found = [
        ("v.class_embd", values(WIDTH)),
        ("v.patch_embd.weight", values(WIDTH, 3, PATCH_PIXELS, PATCH_PIXELS)),
        ("v.position_embd.weight", values(NUM_ROWS + 1, WIDTH)),
        *norm("v.pre_ln"),
    ]
    for layer in range(LAYERS):
        block = f"v.blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            found += linear(f"{block}.{name}", WIDTH, WIDTH)
        found += [*norm(f"{block}.ln1"), *norm(f"{block}.ln2")]
        found += linear(f"{block}.ffn_down", FEED_FORWARD, WIDTH) + linear(f"{block}.ffn_up", WIDTH, FEED_FORWARD)
    return found + linear("mm.0", FEED_FORWARD, WIDTH, 4.0) + linear("mm.2", width, FEED_FORWARD, 8.0)


def png(colour: tuple[int, int, int], *, width: int = 40, height: int = 24, rows: int | None = None) -> bytes:
    """Return a PNG of a coloured slope; ``rows`` says how many rows of data it really has."""
    lines = [
        b"\0" + bytes(value * (column + line) // (width + height) for column in range(width) for value in colour)
        for line in range(height if rows is None else rows)
    ]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def data_url(picture: bytes, media_type: str = "image/png") -> str:
    """Return a picture as messages hold it."""
    return f"data:{media_type};base64,{base64.b64encode(picture).decode()}"
