"""Makes the demonstration model: writes its corpus, trains it, exports it as GGUF and asks it held-out questions."""
