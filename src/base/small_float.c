/* Floating-point numbers of 16 and 8 bits. */
#include "base/small_float.h"

#include <math.h>
#include <string.h>

/* How a small float is laid out: sign, exponent, fraction; subnormal numbers where the exponent is 0. */
struct layout {
    int exponent_bits, fraction_bits, bias;
};

static const struct layout float16 = {5, 10, 15}, e4m3 = {4, 3, 7};

/* The value of finite bits. */
static double read_finite(const struct layout *layout, uint32_t bits)
{
    uint32_t fraction = bits & ((1u << layout->fraction_bits) - 1);
    int exponent = (int)(bits >> layout->fraction_bits & ((1u << layout->exponent_bits) - 1));
    double magnitude = ldexp(exponent ? fraction + (1u << layout->fraction_bits) : fraction,
                             (exponent ? exponent : 1) - layout->bias - layout->fraction_bits);

    return bits >> (layout->exponent_bits + layout->fraction_bits) & 1 ? -magnitude : magnitude;
}

/* The bits of a value of this layout whose exponent is at most 'most'; false when x is none. */
static bool write_finite(const struct layout *layout, int most, double x, uint32_t *bits)
{
    int exponent;
    double magnitude = fabs(x), grains;

    if (!isfinite(x))
        return false;
    exponent = magnitude > 0.0 ? ilogb(magnitude) + layout->bias : 0;
    if (exponent > most)
        return false;
    exponent = exponent < 1 ? 0 : exponent;
    grains = ldexp(magnitude, layout->fraction_bits + layout->bias - (exponent ? exponent : 1));
    if (floor(grains) < grains)
        return false;
    *bits = (uint32_t)grains & ((1u << layout->fraction_bits) - 1);
    *bits |= (uint32_t)exponent << layout->fraction_bits;
    if (signbit(x))
        *bits |= 1u << (layout->exponent_bits + layout->fraction_bits);
    return true;
}

float bsq_float16_read(uint16_t bits)
{
    if ((bits & 0x7c00) != 0x7c00)
        return (float)read_finite(&float16, bits);
    if (bits & 0x3ff)
        return NAN;
    return bits & 0x8000 ? -INFINITY : INFINITY;
}

bool bsq_float16_write(float x, uint16_t *bits)
{
    uint32_t wide;

    /* Most numbers that are none are told by the bits that normal values do not have. */
    memcpy(&wide, &x, sizeof wide);
    if (wide & 0x1fff && fabsf(x) >= 0x1p-14f)
        return false;
    if (!write_finite(&float16, 30, (double)x, &wide))
        return false;
    *bits = (uint16_t)wide;
    return true;
}

float bsq_bfloat16_read(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float x;

    memcpy(&x, &wide, sizeof x);
    return x;
}

bool bsq_bfloat16_write(float x, uint16_t *bits)
{
    uint32_t wide;

    memcpy(&wide, &x, sizeof wide);
    if (!isfinite(x) || wide & 0xffff)
        return false;
    *bits = (uint16_t)(wide >> 16);
    return true;
}

float bsq_e4m3_read(uint8_t bits)
{
    return (bits & 0x7f) == 0x7f ? NAN : (float)read_finite(&e4m3, bits);
}

bool bsq_e4m3_write(float x, uint8_t *bits)
{
    uint32_t wide;

    if (!write_finite(&e4m3, 15, (double)x, &wide) || (wide & 0x7f) == 0x7f)
        return false;
    *bits = (uint8_t)wide;
    return true;
}
