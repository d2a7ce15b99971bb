/* Halves, for a compiler that knows no CUDA. */
#pragma once

typedef _Float16 __half;

inline float __half2float(__half value)
{
    return static_cast<float>(value);
}

inline __half __float2half(float value)
{
    return static_cast<__half>(value);
}
