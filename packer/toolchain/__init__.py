"""The tools that make a runtime: pinned sources, zig, CMake, PyInstaller. Knows nothing of bundles or models."""
