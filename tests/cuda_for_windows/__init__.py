"""The CUDA backend for Windows: kernels of NVIDIA's compiler, started by what zig's clang compiled."""
