"""What stands in for cuBLAS in the CUDA backend, compiled for the processor: products, solutions, and forwarding."""

from __future__ import annotations

import ctypes
import itertools
import random
import re
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from packer.toolchain import process
from packer.toolchain.cuda.linux import STAND_IN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packer.toolchain.llama_cpp import BuildTools

HERE = Path(__file__).parent
NORMAL, TRANSPOSED = 0, 1
SUCCESS, NOT_SUPPORTED = 0, 15
RIGHT, LEFT, UPPER, NON_UNIT = 1, 0, 1, 0
COMPUTE_16F, COMPUTE_32F = 64, 68
ALGORITHM = 99
SYSTEM_COPY = "libcublas-of-a-test.so"
"""In place of the names that a system's copy has, so that the machine's own is not in the way."""

OFFERED = {
    *("cublasCreate_v2", "cublasDestroy_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasSetMathMode"),
    *("cublasGetStatusString", "cublasGemmEx", "cublasGemmBatchedEx", "cublasGemmStridedBatchedEx", "cublasSgemm_v2"),
    *("cublasSgemmBatched", "cublasSgemmStridedBatched", "cublasStrsmBatched"),
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A type of numbers: CUDA's number for it, its size, and how exact it is."""

    number: int
    size_bytes: int
    error: float

    def pack(self, values: Sequence[float]) -> bytearray:
        """Return ``values`` in this type."""
        if self.number == BF16.number:
            return bytearray(b"".join(struct.pack("<f", value)[2:] for value in values))
        return bytearray(struct.pack(f"<{len(values)}{'e' if self.number == F16.number else 'f'}", *values))

    def unpack(self, data: bytes) -> list[float]:
        """Return the values that ``data`` holds."""
        if self.number == BF16.number:
            return [struct.unpack("<f", b"\0\0" + data[at : at + 2])[0] for at in range(0, len(data), 2)]
        count = len(data) // self.size_bytes
        return list(struct.unpack(f"<{count}{'e' if self.number == F16.number else 'f'}", data))


F32 = Kind(number=0, size_bytes=4, error=1e-5)
F16 = Kind(number=2, size_bytes=2, error=2e-3)
BF16 = Kind(number=14, size_bytes=2, error=2e-2)


class Matrix:
    """A batch of matrices in memory as BLAS has them, with ``padding`` unused rows and a gap between two of them."""

    def __init__(self, kind: Kind, rows: int, columns: int, count: int, *, padding: int = 3, gap: int = 5) -> None:
        self.kind, self.rows, self.columns, self.count = kind, rows, columns, count
        self.leading = rows + padding
        self.stride = self.leading * columns + gap
        drawn = [random.uniform(-1, 1) for _ in range(self.stride * count)]
        self.memory = (ctypes.c_char * (len(drawn) * kind.size_bytes)).from_buffer(kind.pack(drawn))

    @property
    def address(self) -> int:
        """Where it begins."""
        return ctypes.addressof(self.memory)

    @property
    def addresses(self) -> ctypes.Array[ctypes.c_void_p]:
        """Where each matrix of the batch begins."""
        places = [self.address + batch * self.stride * self.kind.size_bytes for batch in range(self.count)]
        return (ctypes.c_void_p * self.count)(*places)

    def values(self) -> list[float]:
        """Everything in memory, gaps too."""
        return self.kind.unpack(bytes(self.memory))

    def place(self, batch: int, row: int, column: int) -> int:
        """Where in :meth:`values` an element is."""
        return batch * self.stride + column * self.leading + row


@pytest.fixture(scope="module")
def compiled(build_tools: BuildTools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in as a library for the processor."""
    output = tmp_path_factory.mktemp("cublas") / "libstand_in.so"
    options = ["-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-I{HERE / 'host'}"]
    options += [f'-DSYSTEM_COPIES="{SYSTEM_COPY}"']
    source = ["-x", "c++", STAND_IN / "cublas_stand_in.cu", "-ldl", "-o", output]
    process.run([build_tools.environment.zig, "c++", *options, *source])
    return output


@pytest.fixture
def stand_in(compiled: Path) -> ctypes.CDLL:
    """The stand-in, loaded, without a system copy."""
    library = ctypes.CDLL(str(compiled))
    library.cublasGetStatusString.restype = ctypes.c_char_p
    return library


@pytest.fixture
def handle(stand_in: ctypes.CDLL) -> ctypes.c_void_p:
    """A handle of it."""
    made = ctypes.c_void_p()
    assert stand_in.cublasCreate_v2(ctypes.byref(made)) == SUCCESS
    return made


def scalars(compute: int, *values: float) -> list[Any]:
    """Factors as they are handed over: halves where halves are computed with."""
    kind = F16 if compute == COMPUTE_16F else F32
    return [ctypes.create_string_buffer(bytes(kind.pack([value])), kind.size_bytes) for value in values]


def expected(
    operands: tuple[Matrix, Matrix, Matrix], transposed: tuple[int, int], k: int, factors: tuple[float, float]
) -> list[float]:
    """What C's memory holds afterwards: the plain product, everything around it as it was."""
    a, b, c = operands
    left, right, result = a.values(), b.values(), c.values()
    for batch, row, column in itertools.product(range(c.count), range(c.rows), range(c.columns)):
        total = 0.0
        for step in range(k):
            at = a.place(batch, step, row) if transposed[0] else a.place(batch, row, step)
            other = b.place(batch, column, step) if transposed[1] else b.place(batch, step, column)
            total += left[at] * right[other]
        place = c.place(batch, row, column)
        result[place] = factors[0] * total + factors[1] * result[place]
    return result


def assert_near(found: Sequence[float], wanted: Sequence[float], error: float) -> None:
    """Compare, with the error relative to sums of a few dozen products."""
    assert len(found) == len(wanted)
    worst = max(abs(one - other) for one, other in zip(found, wanted, strict=True))
    assert worst <= error * 8


TYPES = [
    (F32, F32, COMPUTE_32F),
    (F16, F16, COMPUTE_16F),
    (F16, F32, COMPUTE_32F),
    (BF16, F32, COMPUTE_32F),
    (BF16, BF16, COMPUTE_32F),
]
SHAPES = [(1, 1, 1), (16, 16, 16), (17, 5, 33), (5, 19, 1), (33, 1, 18)]


@pytest.mark.parametrize("transposed", list(itertools.product((NORMAL, TRANSPOSED), repeat=2)))
@pytest.mark.parametrize(("inner", "outer", "compute"), TYPES)
@pytest.mark.parametrize("way", ["single", "strided", "pointers"])
def test_products_are_those_of_plain_arithmetic(
    stand_in: ctypes.CDLL,
    handle: ctypes.c_void_p,
    inner: Kind,
    outer: Kind,
    compute: int,
    transposed: tuple[int, int],
    way: str,
) -> None:
    random.seed(7)
    for (m, n, k), factors in itertools.product(SHAPES, [(1.0, 0.0), (0.5, 1.0)]):
        count = 1 if way == "single" else 3
        a = Matrix(inner, *((k, m) if transposed[0] else (m, k)), count)
        b = Matrix(inner, *((n, k) if transposed[1] else (k, n)), count)
        c = Matrix(outer, m, n, count)
        wanted = expected((a, b, c), transposed, k, factors)
        alpha, beta = scalars(compute, *factors)
        if way == "single":
            status = stand_in.cublasGemmEx(
                handle, *transposed, m, n, k, alpha, ctypes.c_void_p(a.address), inner.number, a.leading,
                ctypes.c_void_p(b.address), inner.number, b.leading, beta, ctypes.c_void_p(c.address), outer.number,
                c.leading, compute, ALGORITHM,
            )  # fmt: skip
        elif way == "strided":
            status = stand_in.cublasGemmStridedBatchedEx(
                handle, *transposed, m, n, k, alpha, ctypes.c_void_p(a.address), inner.number, a.leading,
                ctypes.c_longlong(a.stride), ctypes.c_void_p(b.address), inner.number, b.leading,
                ctypes.c_longlong(b.stride), beta, ctypes.c_void_p(c.address), outer.number, c.leading,
                ctypes.c_longlong(c.stride), count, compute, ALGORITHM,
            )  # fmt: skip
        else:
            status = stand_in.cublasGemmBatchedEx(
                handle, *transposed, m, n, k, alpha, a.addresses, inner.number, a.leading, b.addresses, inner.number,
                b.leading, beta, c.addresses, outer.number, c.leading, count, compute, ALGORITHM,
            )  # fmt: skip
        assert status == SUCCESS
        assert_near(c.values(), wanted, outer.error)


@pytest.mark.parametrize("transposed", list(itertools.product((NORMAL, TRANSPOSED), repeat=2)))
def test_products_of_floats_by_their_own_functions(
    stand_in: ctypes.CDLL, handle: ctypes.c_void_p, transposed: tuple[int, int]
) -> None:
    random.seed(8)
    m, n, k, count = 18, 7, 21, 2
    alpha, beta = scalars(COMPUTE_32F, 2.0, -0.5)
    for way in ("single", "strided", "pointers"):
        a = Matrix(F32, *((k, m) if transposed[0] else (m, k)), count)
        b = Matrix(F32, *((n, k) if transposed[1] else (k, n)), count)
        c = Matrix(F32, m, n, count)
        before, wanted = c.values(), expected((a, b, c), transposed, k, (2.0, -0.5))
        places = [ctypes.c_void_p(one.address) for one in (a, b, c)]
        if way == "single":
            wanted = wanted[: c.stride] + before[c.stride :]
            status = stand_in.cublasSgemm_v2(
                handle, *transposed, m, n, k, alpha, places[0], a.leading, places[1], b.leading, beta, places[2],
                c.leading,
            )  # fmt: skip
        elif way == "strided":
            status = stand_in.cublasSgemmStridedBatched(
                handle, *transposed, m, n, k, alpha, places[0], a.leading, ctypes.c_longlong(a.stride), places[1],
                b.leading, ctypes.c_longlong(b.stride), beta, places[2], c.leading, ctypes.c_longlong(c.stride), count,
            )  # fmt: skip
        else:
            status = stand_in.cublasSgemmBatched(
                handle, *transposed, m, n, k, alpha, a.addresses, a.leading, b.addresses, b.leading, beta,
                c.addresses, c.leading, count,
            )  # fmt: skip
        assert status == SUCCESS
        assert_near(c.values(), wanted, F32.error)


def test_what_stood_there_is_not_read_when_it_counts_nothing(stand_in: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
    """Memory that was just taken may hold anything; zero times that is not always zero."""
    a, b, c = (Matrix(F32, 4, 4, 1) for _ in range(3))
    ctypes.memset(c.address, 0xFF, 16)
    alpha, beta = scalars(COMPUTE_32F, 1.0, 0.0)
    status = stand_in.cublasSgemm_v2(
        handle, NORMAL, NORMAL, 4, 4, 4, alpha, ctypes.c_void_p(a.address), a.leading, ctypes.c_void_p(b.address),
        b.leading, beta, ctypes.c_void_p(c.address), c.leading,
    )  # fmt: skip
    assert status == SUCCESS
    assert all(value == value for value in c.values()[:4])


def test_systems_of_equations_are_solved(stand_in: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
    """x times the upper triangle gives what stood in x before, times alpha; the rest of the triangle is not read."""
    random.seed(9)
    m, n, count, factor = 6, 9, 3, 2.0
    upper, x = Matrix(F32, n, n, count), Matrix(F32, m, n, count)
    values = upper.values()
    for batch, step in itertools.product(range(count), range(n)):
        values[upper.place(batch, step, step)] += 3.0
        for below in range(step + 1, n):
            values[upper.place(batch, below, step)] = float("nan")
    upper.memory[:] = bytes(F32.pack(values))
    before = x.values()
    (alpha,) = scalars(COMPUTE_32F, factor)
    status = stand_in.cublasStrsmBatched(
        handle, RIGHT, UPPER, NORMAL, NON_UNIT, m, n, alpha, upper.addresses, upper.leading, x.addresses, x.leading,
        count,
    )  # fmt: skip
    assert status == SUCCESS
    solved = x.values()
    for batch, row, column in itertools.product(range(count), range(m), range(n)):
        steps = range(column + 1)
        total = sum(solved[x.place(batch, row, step)] * values[upper.place(batch, step, column)] for step in steps)
        assert total == pytest.approx(factor * before[x.place(batch, row, column)], abs=1e-4)


def test_what_is_not_offered_is_refused_and_said(stand_in: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
    alpha, beta = scalars(COMPUTE_32F, 1.0, 0.0)
    nothing = ctypes.c_void_p()
    whole_numbers = 3
    status = stand_in.cublasGemmEx(
        handle, NORMAL, NORMAL, 1, 1, 1, alpha, nothing, whole_numbers, 1, nothing, whole_numbers, 1, beta, nothing, 0,
        1, COMPUTE_32F, ALGORITHM,
    )  # fmt: skip
    assert status == NOT_SUPPORTED
    arguments = (UPPER, NORMAL, NON_UNIT, 1, 1, alpha, nothing, 1, nothing, 1, 1)
    assert stand_in.cublasStrsmBatched(handle, LEFT, *arguments) == NOT_SUPPORTED
    assert b"not supported without a system copy" in stand_in.cublasGetStatusString(NOT_SUPPORTED)


def test_nothing_to_do_is_no_error(stand_in: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
    alpha, beta = scalars(COMPUTE_32F, 1.0, 0.0)
    nothing = ctypes.c_void_p()
    status = stand_in.cublasSgemm_v2(
        handle, NORMAL, NORMAL, 0, 5, 5, alpha, nothing, 1, nothing, 5, beta, nothing, 1
    )  # fmt: skip
    assert status == SUCCESS
    assert stand_in.cublasSetMathMode(handle, 3) == SUCCESS
    assert stand_in.cublasSetWorkspace_v2(handle, nothing, ctypes.c_size_t(0)) == SUCCESS
    assert stand_in.cublasDestroy_v2(handle) == SUCCESS


def test_every_function_that_the_backend_calls_is_there(stand_in: ctypes.CDLL, build_tools: BuildTools) -> None:
    """Read from ggml's source, with the names that the header gives them."""
    sources = build_tools.sources.llama_cpp / "ggml" / "src" / "ggml-cuda"
    texts = [path.read_text(encoding="utf-8") for path in [*sources.glob("*.cu"), *sources.glob("*.cuh")]]
    code = "\n".join(line.partition("//")[0] for text in texts for line in text.splitlines())
    called = set(re.findall(r"\b(cublas[A-Z]\w+)\s*\(", code))
    header = (STAND_IN / "cublas_v2.h").read_text(encoding="utf-8")
    renamed = dict(re.findall(r"#define (cublas\w+) (cublas\w+)", header))
    needed = {renamed.get(name, name) for name in called}
    assert needed == OFFERED
    assert all(hasattr(stand_in, name) for name in OFFERED)


FORWARDING = """
import ctypes, sys
stand_in = ctypes.CDLL(sys.argv[1])
handle, one = ctypes.c_void_p(), ctypes.create_string_buffer(64)
assert stand_in.cublasCreate_v2(ctypes.byref(handle)) == 0
place = ctypes.c_void_p(ctypes.addressof(one))
print(stand_in.cublasSetStream_v2(handle, ctypes.c_void_p(0x51)))
print(stand_in.cublasGemmEx(handle, 1, 0, 1, 1, 1, place, place, 2, 1, place, 2, 1, place, place, 0, 1, 68, 99))
print(stand_in.cublasSgemm_v2(handle, 0, 0, 1, 1, 1, place, place, 1, place, 1, place, place, 1))
system = ctypes.CDLL(sys.argv[2])
print(system.handles_alive())
stand_in.cublasDestroy_v2(handle)
print(system.handles_alive())
"""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        # 100 and all the numbers; what the system copy lacks is computed here, by a product that it has.
        ((), ["0", "278", "173", "1", "0"]),
        # A copy that refuses (no fitting driver, say) counts as none.
        (("-DREFUSES",), ["0", "0", "0", "0", "0"]),
    ],
)
def test_a_system_copy_is_used_with_a_handle_of_its_own(
    compiled: Path, build_tools: BuildTools, tmp_path: Path, options: tuple[str, ...], said: list[str]
) -> None:
    output = tmp_path / SYSTEM_COPY
    flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", *options]
    process.run([build_tools.environment.zig, "cc", *flags, HERE / "system_copy.c", "-o", output])
    done = subprocess.run(
        [sys.executable, "-c", FORWARDING, compiled, SYSTEM_COPY],
        env=process.clean_environment(LD_LIBRARY_PATH=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == said, done.stderr
