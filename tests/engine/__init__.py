"""The engine on llama.cpp itself, in this process, with models of random weights."""
