"""Compares a renderer on the CPU with the CPU by one operation: a matrix in four bits times a vector.

A whole model, however small, costs such a renderer many seconds, most of them for compiling its shaders, and every
desktop without a GPU has one. One operation is most of what generating a token is and needs one shader (ggml.h,
ggml-backend.h).
"""

from __future__ import annotations

import ctypes
import time
from typing import TYPE_CHECKING, Any

from runtime.devices.calibration import relative_error
from runtime.devices.calibration_model import FEED_FORWARD, WIDTH, random_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.llama.library import Library

TYPE_F32, TYPE_Q4_0 = 0, 2
CPU_DEVICE = 0
CONTEXT_BYTES = 1 << 20
MEASURE_S = 0.1
MOST_RUNS = 200
POINTER = ctypes.c_void_p


class _InitParams(ctypes.Structure):
    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


def measure_operation(library: Library, pointer: int, num_threads: int) -> Iterator[dict[str, Any]]:
    """Measure both, the CPU first, yielding each figure when it is known; speeds in operations a second."""
    by_type = _function(library.ggml, "ggml_backend_dev_by_type", POINTER, ctypes.c_int)
    cpu = _Multiplication(library, by_type(CPU_DEVICE), num_threads)
    expected = cpu.result()
    yield {"cpu_decode": cpu.speed()}
    device = _Multiplication(library, pointer, num_threads)
    yield {"error": relative_error(expected, device.result())}
    yield {"device_decode": device.speed()}


class _Multiplication:
    """The operation on one device; it stays there until the process ends."""

    def __init__(self, library: Library, device: int, num_threads: int) -> None:
        base = library.base
        new_tensor = _function(base, "ggml_new_tensor_2d", POINTER, POINTER, ctypes.c_int, *[ctypes.c_int64] * 2)
        context = _function(base, "ggml_init", POINTER, _InitParams)(_InitParams(CONTEXT_BYTES, None, True))
        matrix = new_tensor(context, TYPE_Q4_0, WIDTH, FEED_FORWARD)
        vector = new_tensor(context, TYPE_F32, WIDTH, 1)
        self._product = _function(base, "ggml_mul_mat", POINTER, *[POINTER] * 3)(context, matrix, vector)
        self._graph = _function(base, "ggml_new_graph", POINTER, POINTER)(context)
        _function(base, "ggml_build_forward_expand", None, *[POINTER] * 2)(self._graph, self._product)
        self._backend = _function(base, "ggml_backend_dev_init", POINTER, POINTER, ctypes.c_char_p)(device, None)
        _set_threads(library, device, self._backend, num_threads)
        if not _function(base, "ggml_backend_alloc_ctx_tensors", POINTER, *[POINTER] * 2)(context, self._backend):
            raise MemoryError("the device has no memory for the comparison")
        self._run = _function(base, "ggml_backend_graph_compute", ctypes.c_int, *[POINTER] * 2)
        sizes = [ctypes.c_size_t] * 2
        write = _function(base, "ggml_backend_tensor_set", None, POINTER, ctypes.c_char_p, *sizes)
        self._read = _function(base, "ggml_backend_tensor_get", None, POINTER, POINTER, *sizes)
        blocks, size = random_blocks(), WIDTH * FEED_FORWARD // 32 * 18
        write(matrix, (blocks * (size // len(blocks) + 1))[:size], 0, size)
        values = (ctypes.c_float * WIDTH)(*((index * 37 % 64 - 32) / 32 for index in range(WIDTH)))
        write(vector, bytes(values), 0, ctypes.sizeof(values))

    def result(self) -> list[float]:
        """Compute once and return the product, shape ``(FEED_FORWARD,)``."""
        self._compute()
        values = (ctypes.c_float * FEED_FORWARD)()
        self._read(self._product, values, 0, ctypes.sizeof(values))
        return list(values)

    def speed(self) -> float:
        """Operations a second."""
        started_s, count = time.perf_counter(), 0
        while count < MOST_RUNS and time.perf_counter() - started_s < MEASURE_S:
            self._compute()
            count += 1
        return count / (time.perf_counter() - started_s)

    def _compute(self) -> None:
        status = self._run(self._backend, self._graph)
        if status != 0:
            raise RuntimeError(f"the device failed with status {status}")


def _set_threads(library: Library, device: int, backend: int, num_threads: int) -> None:
    """Set the number of threads where the backend has any."""
    base = library.base
    registry = _function(base, "ggml_backend_dev_backend_reg", POINTER, POINTER)(device)
    find = _function(base, "ggml_backend_reg_get_proc_address", POINTER, POINTER, ctypes.c_char_p)
    if address := find(registry, b"ggml_backend_set_n_threads"):
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int)(address)(backend, num_threads)


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    """A fresh view of a function with its types, so that nobody else's is changed."""
    return ctypes.CFUNCTYPE(result, *arguments)((name, library))
