"""The container: one executable file that is a launcher and a ZIP64 archive at once.

``layout`` is the specification, ``writer`` and ``reader`` are its twins, ``manifest`` says what is inside and
``config`` holds the settings baked into it. The frozen runtime shares this package and nothing else of ``packer``.
"""
