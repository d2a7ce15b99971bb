"""ggml's CUDA backend, for Linux by NVIDIA's compiler, for Windows from the same code for GPUs and zig's clang.

NVIDIA's compiler for Windows needs Microsoft's, which can't be fetched. But code for GPUs is the same on both systems:
it is taken out of the library for Linux (:mod:`fat_binaries`), and only the processor's half is compiled again
(:mod:`host_code`), where each kernel is called by the name that it has in that code (:mod:`kernel_names`).
"""
