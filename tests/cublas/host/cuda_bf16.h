/* Floats of sixteen bits with the exponent of thirty-two, rounded to the nearest even one. */
#pragma once

#include <cstdint>
#include <cstring>

struct __nv_bfloat16 {
    std::uint16_t bits;
};

inline float __bfloat162float(__nv_bfloat16 value)
{
    const std::uint32_t wide = static_cast<std::uint32_t>(value.bits) << 16;
    float result;
    std::memcpy(&result, &wide, sizeof result);
    return result;
}

inline __nv_bfloat16 __float2bfloat16(float value)
{
    std::uint32_t wide;
    std::memcpy(&wide, &value, sizeof wide);
    return {static_cast<std::uint16_t>((wide + 0x7fff + ((wide >> 16) & 1)) >> 16)};
}
