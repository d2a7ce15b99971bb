"""The demonstration model: trained by this project, so that ``packer build demo`` needs no download.

``demo.gguf`` and its settings ``demo.toml`` are made by ``tools/demo_model``; the model card there says from what.
"""

from pathlib import Path

DEMO_MODEL = Path(__file__).parent / "demo.gguf"
DEMO_SETTINGS = Path(__file__).parent / "demo.toml"
