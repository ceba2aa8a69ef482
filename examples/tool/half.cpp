#include "tool/half.hpp"

#include <cstring>

namespace tool {

namespace {

float from_bits(uint32_t bits)
{
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

uint32_t to_bits(float value)
{
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

} // namespace

// Exact: the magnitude is moved to float32's place, where a product with 2^112 corrects the exponent, of subnormal
// numbers too.
float from_float16(uint16_t half)
{
    const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fff) << 13;
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    if (magnitude >= 0x0f800000) // infinity, NaN
        return from_bits(sign | 0x7f800000 | (magnitude & 0x007fffff));
    return from_bits(sign | to_bits(from_bits(magnitude) * 0x1p112f));
}

float from_bfloat16(uint16_t half)
{
    return from_bits(static_cast<uint32_t>(half) << 16);
}

uint16_t to_float16(float value)
{
    const uint32_t bits = to_bits(value), sign = bits >> 16 & 0x8000;
    const float magnitude = from_bits(bits & 0x7fffffff);
    if (!(magnitude < 65520.0f))
        return static_cast<uint16_t>(sign | (magnitude > 0 ? 0x7c00 : 0x7e00));
    if (magnitude < 0x1p-14f) // a multiple of 2^-24: float32 rounds it
        return static_cast<uint16_t>(sign | (to_bits(magnitude + 0.5f) & 0x7ff));
    const uint32_t rounded = to_bits(magnitude) + 0xfff + (to_bits(magnitude) >> 13 & 1);
    return static_cast<uint16_t>(sign | ((rounded >> 13) - (112 << 10)));
}

uint16_t to_bfloat16(float value)
{
    const uint32_t bits = to_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

} // namespace tool
