"""Packs a GGUF model and everything that runs it into one executable file."""

__version__ = "0.1.0"
