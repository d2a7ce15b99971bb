/*
 * What clang needs to read a CUDA source's half for the processor, on Windows, with NVIDIA's own headers.
 *
 * It comes before everything else. Code for the GPU is only read here and never compiled: what it calls is declared
 * and defined nowhere. NVIDIA's declarations of mathematical functions are left out, since they repeat the C library's
 * as glibc writes them. Names: the CUDA Math API and the CUDA C++ Programming Guide.
 */
#pragma once

#include <cassert>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>

#define __CUDACC__ 1
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0
#define __CUDACC_VER_BUILD__ 88
#define __NV_NO_HOST_COMPILER_CHECK 1
#define _ALLOW_UNSUPPORTED_LIBCPP 1
#define __THROW
#define __MATH_FUNCTIONS_H__
#define __COMMON_FUNCTIONS_H__

/* The architectures that the code for GPUs was compiled for; the host asks it what cards will run. */
#undef __CUDA_ARCH_LIST__
#define __CUDA_ARCH_LIST__ DEVICE_ARCHITECTURES

#define DEVICE __attribute__((device))
#define BOTH __attribute__((host)) __attribute__((device)) inline

#define OF_ONE(name)                                                                                                   \
    DEVICE double name(double);                                                                                        \
    DEVICE float name##f(float);
#define OF_TWO(name)                                                                                                   \
    DEVICE double name(double, double);                                                                                \
    DEVICE float name##f(float, float);
#define TEST(name)                                                                                                     \
    DEVICE bool name(double);                                                                                          \
    DEVICE bool name(float);

OF_ONE(acos) OF_ONE(asin) OF_ONE(atan) OF_ONE(cbrt) OF_ONE(ceil) OF_ONE(cos) OF_ONE(erf) OF_ONE(erfc) OF_ONE(exp)
OF_ONE(exp10) OF_ONE(exp2) OF_ONE(expm1) OF_ONE(fabs) OF_ONE(floor) OF_ONE(log) OF_ONE(log10) OF_ONE(log1p)
OF_ONE(log2) OF_ONE(nearbyint) OF_ONE(rcbrt) OF_ONE(rint) OF_ONE(round) OF_ONE(rsqrt) OF_ONE(sin) OF_ONE(sinh)
OF_ONE(sqrt) OF_ONE(tan) OF_ONE(tanh) OF_ONE(trunc)
OF_TWO(atan2) OF_TWO(copysign) OF_TWO(fmax) OF_TWO(fmin) OF_TWO(fmod) OF_TWO(pow)
TEST(isfinite) TEST(isinf) TEST(isnan)
DEVICE double fma(double, double, double);
DEVICE float fmaf(float, float, float);

/* What isnan and assert become in the C library's headers. */
DEVICE int __isnan(double);
DEVICE int __isnanf(float);
DEVICE void _assert(const char *, const char *, unsigned);

DEVICE void *memcpy(void *, const void *, size_t);
DEVICE void *memmove(void *, const void *, size_t);
DEVICE void *memset(void *, int, size_t);
DEVICE void *operator new(size_t, void *) noexcept;
DEVICE int printf(const char *, ...);

/* Named by NVIDIA's C++ library and never called; Windows has none. */
extern "C" void *aligned_alloc(size_t, size_t);

#define SMALLER_AND_LARGER(result, left, right)                                                                        \
    BOTH result min(left a, right b) { return (result)a < (result)b ? (result)a : (result)b; }                         \
    BOTH result max(left a, right b) { return (result)a < (result)b ? (result)b : (result)a; }

SMALLER_AND_LARGER(int, int, int)
SMALLER_AND_LARGER(unsigned, unsigned, unsigned)
SMALLER_AND_LARGER(unsigned, int, unsigned)
SMALLER_AND_LARGER(unsigned, unsigned, int)
SMALLER_AND_LARGER(long, long, long)
SMALLER_AND_LARGER(unsigned long, unsigned long, unsigned long)
SMALLER_AND_LARGER(long long, long long, long long)
SMALLER_AND_LARGER(unsigned long long, unsigned long long, unsigned long long)
SMALLER_AND_LARGER(unsigned long long, long long, unsigned long long)
SMALLER_AND_LARGER(unsigned long long, unsigned long long, long long)
SMALLER_AND_LARGER(float, float, float)
SMALLER_AND_LARGER(double, double, double)
SMALLER_AND_LARGER(double, float, double)
SMALLER_AND_LARGER(double, double, float)

#undef SMALLER_AND_LARGER
#undef TEST
#undef OF_TWO
#undef OF_ONE
#undef BOTH
#undef DEVICE

#include <cuda.h>
#include <cuda_runtime.h>
