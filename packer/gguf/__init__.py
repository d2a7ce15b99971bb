"""Reads GGUF models without trusting them: what a model is, whether it is whole, and how its shards become one."""

from packer.gguf.adapters import AdapterInfo, inspect_adapter
from packer.gguf.inspection import ModelInfo, inspect_model
from packer.gguf.projectors import ProjectorInfo, inspect_projector
from packer.gguf.shards import ModelSource, model_source

__all__ = [
    "AdapterInfo",
    "ModelInfo",
    "ModelSource",
    "ProjectorInfo",
    "inspect_adapter",
    "inspect_model",
    "inspect_projector",
    "model_source",
]
