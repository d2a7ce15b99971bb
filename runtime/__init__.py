"""Everything that runs inside a packed file: finding the model, loading it, the engine, the API, the lifecycle.

Knows nothing about how a packed file is made; only the container reader and the error root are shared with ``packer``.
"""
