"""Prompts that are read once, when a file is packed, and what is remembered of them."""
